"""mini beside every baseline, each refitted on the same training data."""
