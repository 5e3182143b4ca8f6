"""The gap between predicted embeddings and the embeddings of the texts that they predict.

A decoder that is trained on texts' own embeddings reads predictions only if it has seen something like them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Gap:
    """How predictions lie to their texts.

    Args:
        cosine: Mean cosine of a prediction and each of its texts.
        shift_D: Mean of text minus prediction, which noise cannot teach.
        noise: Standard deviation per dimension of what is left of the difference.
    """

    cosine: float
    shift_D: Tensor
    noise: float

    @property
    def shift(self) -> float:
        """Length of the mean difference."""
        return float(self.shift_D.norm())


def measure_gap(
    images: Sequence[tuple[Tensor, Sequence[tuple[str, ...]]]], *, embed: Callable[[Sequence[str]], Tensor]
) -> Gap | None:
    """Measure the gap on images with texts; None when there are none.

    Args:
        images: Predictions [N, D] and the right texts of each row, per source.
        embed: Embeddings [M, D] of texts, unit norm.
    """
    differences, cosines = [], []
    for predictions_ND, texts in images:
        for prediction_D, right in zip(predictions_ND, texts, strict=True):
            right_MD = embed(right)
            differences.append(right_MD - prediction_D)
            cosines.append(F.cosine_similarity(prediction_D[None], right_MD))
    if not differences:
        return None
    difference_ND = torch.cat(differences)
    shift_D = difference_ND.mean(0)
    return Gap(
        cosine=float(torch.cat(cosines).mean()),
        shift_D=shift_D,
        noise=float((difference_ND - shift_D).std(0).mean()),
    )
