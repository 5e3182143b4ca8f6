"""Ablations: what one change of a recipe does to retrieval, questions and the spread of the embeddings."""
