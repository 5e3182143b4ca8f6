"""A model inside the evaluation harnesses of others; each module needs its harness installed. See docs/harnesses.md."""
