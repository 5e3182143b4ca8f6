"""Rows without an image: one text stands for what the X-Encoder's classifier would have said, another is predicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa.configs import TextView
from vljepa.data.text_features import TextFeatures
from vljepa.models.residuals.label_prior import LabelPrior

_TEXTS_PER_CHUNK = 4096


class PriorEstimate:
    """Estimates the label prior's feature from a text, as `TextView` says.

    Args:
        config: Temperature and noise.
        texts: Y-Encoder features of the texts.
        prior: The model's label prior, filled.
        real_BE: Label prior's features of real images, [B, E], for the mean.
        sample: Texts of the source, for mean and standard deviation of the estimates.
    """

    def __init__(
        self, config: TextView, *, texts: TextFeatures, prior: LabelPrior, real_BE: Tensor, sample: Sequence[str]
    ) -> None:
        self.config = config
        self.texts = texts
        self.top_k = min(prior.config.top_k, len(prior.label_features_KE))
        self.labels_KE = prior.label_features_KE.float().cpu()
        chunks = [sample[start : start + _TEXTS_PER_CHUNK] for start in range(0, len(sample), _TEXTS_PER_CHUNK)]
        estimates_NE = torch.cat([self._plain(chunk) for chunk in chunks])
        self.shift_E = real_BE.float().cpu().mean(0) - estimates_NE.mean(0)
        self.spread = float(estimates_NE.std(0).mean())

    def __call__(self, seen: Sequence[str], *, seeds: Sequence[int]) -> Tensor:
        """Estimated features [B, E] of texts, with noise that is a pure function of each seed."""
        noise_BE = torch.stack([_noise(seed, len(self.shift_E)) for seed in seeds])
        return self._plain(seen) + self.shift_E + self.config.noise * self.spread * noise_BE

    def _plain(self, texts: Sequence[str]) -> Tensor:
        cosine_BK = F.normalize(self.texts.read(texts), dim=-1) @ F.normalize(self.labels_KE, dim=-1).T
        top, labels = (cosine_BK / self.config.temperature).softmax(-1).topk(self.top_k, dim=-1)
        weights_BK = torch.zeros_like(cosine_BK).scatter_(1, labels, top / top.sum(-1, keepdim=True))
        return weights_BK @ self.labels_KE


def _noise(seed: int, count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))
