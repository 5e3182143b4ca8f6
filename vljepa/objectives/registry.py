"""Losses by their names in a recipe: what is minimised, and what may be added to it with a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from vljepa.objectives.answers import answer_softmax
from vljepa.objectives.infonce import infonce
from vljepa.objectives.positives import Positives
from vljepa.objectives.regression import cosine_loss, l1_loss, l2_loss
from vljepa.objectives.regularizers import sigreg
from vljepa.objectives.sigmoid import sigmoid_loss


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The samples of one group in all processes: all that a loss may ask for.

    Args:
        rows: By name, [B, ...]: `prediction` and `target`, unit norm; `image` where `alignment` is asked for;
            `answer_logits` [B, A] and `answer_ids` [B] where `answers` is; and of images of `replay`, which have no
            target, `prediction` and `start`, what the start predicted.
        scale: 1 / temperature, [1].
        positives: Which targets are right for which predictions.
        bias: Of `sigmoid`, [1].
        tile: Rows of the matrix of logits that exist at a time; None for all.
        seed: Of what is drawn in this step, equal in all processes.
    """

    rows: Mapping[str, Tensor]
    scale: Tensor
    positives: Positives
    bias: Tensor | None = None
    tile: int | None = None
    seed: int = 0

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Predictions and targets."""
        return self.rows["prediction"], self.rows["target"]


Loss = Callable[[Gathered], Tensor]


def _infonce(group: Gathered) -> Tensor:
    return infonce(*group.pair, logit_scale=group.scale, positives=group.positives, tile=group.tile)


def _sigmoid(group: Gathered) -> Tensor:
    assert group.bias is not None
    return sigmoid_loss(*group.pair, logit_scale=group.scale, logit_bias=group.bias, positives=group.positives)


def _alignment(group: Gathered) -> Tensor:
    image_BD, target_BD = group.rows["image"], group.rows["target"]
    return infonce(image_BD, target_BD, logit_scale=group.scale, positives=group.positives, tile=group.tile)


def _answers(group: Gathered) -> Tensor:
    return answer_softmax(group.rows["answer_logits"], group.rows["answer_ids"])


def _distillation(group: Gathered) -> Tensor:
    return cosine_loss(group.rows["prediction"], group.rows["start"])


def _sigreg(group: Gathered) -> Tensor:
    prediction_BD, target_BD = group.pair
    return (sigreg(prediction_BD, seed=group.seed) + sigreg(target_BD, seed=group.seed)) / 2


OBJECTIVES: dict[str, Loss] = {
    "infonce": _infonce,
    "sigmoid": _sigmoid,
    "cosine": lambda group: cosine_loss(*group.pair),
    "l1": lambda group: l1_loss(*group.pair),
    "l2": lambda group: l2_loss(*group.pair),
}
"""`objective.name`."""

TERMS: dict[str, tuple[str, Loss]] = {
    "alignment": ("image", _alignment),
    "answers": ("answer_logits", _answers),
    "distillation": ("start", _distillation),
    "sigreg": ("target", _sigreg),
}
"""Keys of `objective` that are weights of a further term: the rows that it needs (without them it is 0), and itself."""
