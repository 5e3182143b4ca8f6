"""What all suites share: which files they need, how pictures are seen, and what a result says about itself."""
