"""Objectives without negatives: how far a prediction is from its own target. Alone they allow collapse.

With a target encoder that is trained too, all embeddings may become one, at a loss of 0: keep the targets still, or add
a regulariser such as `sigreg`. Shapes: B samples, D width of the shared space, both sides of unit norm.
"""

from __future__ import annotations

from torch import Tensor


def cosine_loss(prediction_BD: Tensor, target_BD: Tensor) -> Tensor:
    """Mean of 1 - cosine: 0 (equal) to 2 (opposite)."""
    return (1 - (prediction_BD * target_BD).sum(dim=-1)).mean()


def l1_loss(prediction_BD: Tensor, target_BD: Tensor) -> Tensor:
    """Mean over samples of the L1 distance."""
    return (prediction_BD - target_BD).abs().sum(dim=-1).mean()


def l2_loss(prediction_BD: Tensor, target_BD: Tensor) -> Tensor:
    """Mean over samples of the squared L2 distance; for unit norm it is twice the cosine loss."""
    return (prediction_BD - target_BD).square().sum(dim=-1).mean()
