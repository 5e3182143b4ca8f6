"""Everything between a file or a PIL image and a tensor."""
