"""Adaptation of a trained model to kinds of things that it has never seen."""
