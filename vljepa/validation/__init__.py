"""How a model is measured while it is trained: encoders in batches, tasks, calibration, and baselines."""
