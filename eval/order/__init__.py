"""The report of the suite `mini_order`: what is told by the order of frames, and what is not."""
