"""What is measured: one module per kind of task, each with `measure(found, embedder, **settings)`."""
