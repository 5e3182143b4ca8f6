"""The one training loop, and what it needs: optimiser, guards, checkpoints, validation, tracking."""
