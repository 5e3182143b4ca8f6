"""The evaluations: tasks, studies and benchmarks, all behind `python eval/run.py`."""
