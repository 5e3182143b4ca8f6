"""One module a wire shape; each turns requests into calls of one `Service`, and its answers into that shape."""
