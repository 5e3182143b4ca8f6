"""Predicting the embedding of the answer against generating its tokens, from one LM slice on one set of data."""
