"""How good the words are: captions of held-out pictures, and texts through the embedding and back."""
