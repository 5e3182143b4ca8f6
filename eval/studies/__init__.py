"""Studies: train models or baselines, then measure them with tasks."""
