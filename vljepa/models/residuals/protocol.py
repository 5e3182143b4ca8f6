"""What the models ask of a residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from vljepa.models.types import Latents

Ablation = Literal["residual", "learned"]
"""Report only: which of the two is left out of a prediction's sum."""


class Residual(nn.Module):
    """Knowledge that the encoder has beforehand, and how it is added to what the Predictor has learned.

    Attributes:
        hint_width: Size of what the Predictor gets of it as a token; None for none.
    """

    hint_width: int | None = None

    def features(self, latents: Latents) -> Tensor:
        """What the encoder knows of each sample, [B, E]; also the Predictor's hint."""
        raise NotImplementedError

    def class_probabilities(self, latents: Latents) -> Tensor | None:
        """What the encoder's own classifier says of each sample, fp32 [B, K]; None without a classifier."""
        del latents
        return None

    def class_features(self) -> Tensor | None:
        """The target encoder's features of the classes' names, [K, E], before its head; None without a classifier."""
        return None

    def new_gate(self, *, state_width: int, vision_width: int) -> nn.Module | None:
        """Module that says how much is added, [B, 1] by a Predictor's state and latents; None adds nothing."""
        raise NotImplementedError

    def add(
        self,
        learned_BD: Tensor,
        features_BE: Tensor,
        *,
        gate: Callable[[], Tensor],
        project: Callable[[Tensor], Tensor],
        ablate: Ablation | None = None,
    ) -> Tensor:
        """Prediction: fp32 [B, D], unit norm.

        Args:
            learned_BD: Output of the Predictor's head.
            features_BE: From `features`.
            gate: Gives the gate [B, 1].
            project: The target encoder's head, to unit norm.
            ablate: Leave one of the two out.
        """
        raise NotImplementedError
