"""Models and their files: saved, loaded, adapted, and known by their digests."""
