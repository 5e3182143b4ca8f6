"""What V-JEPA reads, and what its validation measures."""
