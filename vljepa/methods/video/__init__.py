"""What the methods of video read, and what their validation measures."""
