"""Rows without a picture: one text stands for what the X-Encoder's classifier would have said, another is predicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa.data.features import TextFeatures

SHARPNESS = 1 / 0.05
"""Cosine to classifier logit; chosen on the validation photos (docs/LOG.md)."""
NOISE = 0.05
"""Standard deviation of the noise on cosines: a classifier is less sure than a text about itself (docs/LOG.md)."""


class LabelGuess:
    """Guesses classifier logits from a text: its cosine to every label, with seeded noise.

    Args:
        texts: Y-Encoder features of the texts.
        label_features_KE: Y-Encoder features of the classifier's labels.
        temperature: Of the model's label prior; undone here, so that the guess is as sharp whatever it is.
        tokens_ND: Shape [N, Dv] of the visual tokens, which are all masked out.
    """

    def __init__(
        self, texts: TextFeatures, *, label_features_KE: Tensor, temperature: float, tokens_ND: tuple[int, int]
    ) -> None:
        self.texts = texts
        self.labels_KE = F.normalize(label_features_KE.float().cpu(), dim=-1)
        self.scale = SHARPNESS * temperature
        self.tokens_ND = tokens_ND

    def __call__(self, seen: Sequence[str], *, seeds: Sequence[int]) -> dict[str, Tensor]:
        """`vision_tokens` of zeros, `vision_mask` without a valid token, and guessed `vision_logits`, [B, ...]."""
        cosine_BK = F.normalize(self.texts.read(seen), dim=-1) @ self.labels_KE.T
        noise_BK = torch.stack([_noise(seed, cosine_BK.shape[1]) for seed in seeds])
        return {
            "vision_tokens": torch.zeros(len(seen), *self.tokens_ND),
            "vision_mask": torch.zeros(len(seen), self.tokens_ND[0], dtype=torch.bool),
            "vision_logits": self.scale * (cosine_BK + NOISE * noise_BK),
        }


def _noise(seed: int, count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))
