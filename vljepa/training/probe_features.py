"""Latents of labelled images and clips, computed once and kept, for probes to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vljepa.checkpoint.encoders import encoder_fingerprint
from vljepa.configs import CacheConfig
from vljepa.data.features import FeatureCache
from vljepa.data.labelled import Labelled
from vljepa.data.records import Visual
from vljepa.data.skips import name_skipped
from vljepa.errors import DataError
from vljepa.models.probes import by_steps
from vljepa.models.types import Latents
from vljepa.models.x_encoder import EncoderAlone, XEncoder
from vljepa.processing.frames import FrameProcessor

_AT_ONCE = 64
_TOLERATED = 0.05
"""Share of files that may be unreadable."""


class ProbeFeatures:
    """Latents of images and clips, by the product's own cache.

    Args:
        encoder: Whose latents.
        folder: Of the cache; every encoder has a folder of its own in it.
    """

    def __init__(self, encoder: XEncoder, folder: Path) -> None:
        self.alone = EncoderAlone(encoder)
        fingerprint = encoder_fingerprint(encoder)
        self.by_frame = not encoder.backend.joint_frames
        self.cache = FeatureCache(CacheConfig(folder=str(folder / fingerprint[:16])), fingerprint=fingerprint)

    def fill(self, rows: Sequence[Labelled]) -> dict[Visual, str]:
        """Encode what is not there; reason for each that cannot be read."""
        wanted = {one.visual: 1 for one in rows}
        processor = FrameProcessor(self.alone.x_encoder.config.image)
        return self.cache.fill(wanted, model=self.alone, processor=processor, max_skipped=_TOLERATED)

    def read(self, rows: Sequence[Labelled]) -> Latents:
        """Of some rows."""
        latents = self.cache.read([(one.visual, 0) for one in rows]).latents
        assert latents is not None
        return latents


@dataclass
class ProbeSet:
    """Rows that can be read, and the numbers of their classes.

    Args:
        rows: They.
        labels_N: Numbers.
        features: Where their latents are.
    """

    rows: list[Labelled]
    labels_N: Tensor
    features: ProbeFeatures

    @classmethod
    def of(
        cls,
        rows: Sequence[Labelled],
        classes: Sequence[str],
        skipped: Mapping[Visual, str],
        features: ProbeFeatures,
    ) -> ProbeSet:
        """Without those that were skipped.

        Raises:
            DataError: Nothing is left.
        """
        kept = [one for one in rows if one.visual not in skipped]
        if not kept:
            raise DataError(f"nothing could be read: {name_skipped(skipped)}.", fix="check the files.")
        numbers = {name: number for number, name in enumerate(classes)}
        return cls(kept, torch.tensor([numbers[one.label] for one in kept]), features)

    def parts(self) -> Iterator[Latents]:
        """Latents of all rows, some at once."""
        for start in range(0, len(self.rows), _AT_ONCE):
            yield self.features.read(self.rows[start : start + _AT_ONCE])

    def moments(self, *, flat: bool) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every number that a linear probe sees, without holding all of them."""
        total = squares = torch.zeros(1, dtype=torch.float64)
        for part in self.parts():
            features_BE = part.tokens_BND.flatten(1) if flat else by_steps(part.tokens_BND, steps=part.steps)
            total = total + features_BE.double().sum(0)
            squares = squares + features_BE.double().square().sum(0)
        mean_E = total / len(self.rows)
        return mean_E.float(), (squares / len(self.rows) - mean_E.square()).clamp(min=0).sqrt().float()

    def by_steps(self) -> Tensor:
        """Mean token of each step of every row, [N, T * D]."""
        return torch.cat([by_steps(part.tokens_BND, steps=part.steps) for part in self.parts()])
