"""Everything between a file or a PIL image and a tensor.

Of `vljepa.processing.video`, for whoever reads videos: `probe_video` (duration, frames, size), `read_frames` (every
frame, some per second, or some at equal distances), `read_clip`, and `sliding_windows` over frames as they come.
"""
