"""What the models return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

VISION = ("vision_tokens", "vision_mask", "vision_logits", "vision_steps")


@dataclass
class VisionTokens:
    """What the X-Encoder saw.

    Args:
        tokens_BND: Visual tokens, frames in order.
        mask_BN: True where a token is real.
        logits_BK: Output of the encoder's own classifier (mean over frames), where it has one.
        steps: Steps in time that every row's tokens are made of, each with equally many: frames, or tubelets of an
            encoder that sees frames jointly; 1 is a picture.
    """

    tokens_BND: Tensor
    mask_BN: Tensor
    logits_BK: Tensor | None = None
    steps: int = 1

    def to(self, device: torch.device | str) -> VisionTokens:
        """Copy on another device."""
        logits = None if self.logits_BK is None else self.logits_BK.to(device)
        return VisionTokens(self.tokens_BND.to(device), self.mask_BN.to(device), logits, self.steps)

    def choose(self, rows: Sequence[int]) -> VisionTokens:
        """Some rows, in this order; one may be there several times."""
        places = torch.tensor(rows, device=self.tokens_BND.device)
        logits = None if self.logits_BK is None else self.logits_BK[places]
        return VisionTokens(self.tokens_BND[places], self.mask_BN[places], logits, self.steps)

    def as_batch(self) -> dict[str, Tensor]:
        """What stands in a batch in place of the pixels, by the names in VISION."""
        values = (self.tokens_BND, self.mask_BN, self.logits_BK, torch.tensor(self.steps))
        return {name: value for name, value in zip(VISION, values, strict=True) if value is not None}


@dataclass
class VLJEPAOutput:
    """One training forward.

    Args:
        prediction_BD: S_hat_Y, fp32, unit norm.
        target_BD: S_Y, fp32, unit norm.
        logit_scale: 1 / temperature, shape (1,), fp32.
        vision: What the X-Encoder saw; None for rows of text alone.
        features_BE: The Y-Encoder's features of the targets, before its head.
    """

    prediction_BD: Tensor
    target_BD: Tensor
    logit_scale: Tensor
    vision: VisionTokens | None = None
    features_BE: Tensor | None = None
