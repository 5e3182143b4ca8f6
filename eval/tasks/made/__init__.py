"""Made streams: shots of held-out images, what is decoded in them, and how the captions score."""
