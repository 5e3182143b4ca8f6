"""Tensors in, tensors out: the encoders, the Predictor, and `JEPA`, which joins them.

Shape legend of the package: B batch, T frames, C channels, H and W pixels, N visual tokens, L text tokens,
D shared space, E width of the Y-Encoder, K classes of the X-Encoder's classifier.
"""
