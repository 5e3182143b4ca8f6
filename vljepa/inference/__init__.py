"""What a finished model is for: classify, ask, index and search, from files to answers."""
