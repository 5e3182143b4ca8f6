"""A finished model behind an address, in the wire shapes that other programs speak already."""
