"""Pictures of a batch: from the feature cache, or decoded on the spot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from vljepa.errors import ImageError

if TYPE_CHECKING:
    from vljepa.processing.processor import VLJEPAProcessor


@dataclass
class PictureBatch:
    """What the model takes for some pictures.

    Args:
        tensors: `pixel_values`, or `vision_tokens`, `vision_mask` and `vision_logits`; one row per kept picture.
        kept: Positions of the pictures that could be read.
        skipped: Reason per picture that could not.
    """

    tensors: dict[str, Tensor]
    kept: list[int]
    skipped: dict[Path, str]


class PictureReader(Protocol):
    """Gives (picture, view) pairs to the model; view 0 is the plain picture."""

    def read(self, pictures: Sequence[tuple[Path, int]]) -> PictureBatch:
        """Read some pictures in one go."""
        ...


class LivePictures:
    """Decodes pictures in every step; there is only the plain view.

    Args:
        processor: Opens and resizes.
    """

    def __init__(self, processor: VLJEPAProcessor) -> None:
        self.processor = processor

    def unreadable(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Try pictures one by one; reason for each that cannot be read."""
        skipped: dict[Path, str] = {}
        for path in paths:
            skipped |= self.read([(path, 0)]).skipped
        return skipped

    def read(self, pictures: Sequence[tuple[Path, int]]) -> PictureBatch:
        """Pixels of the readable pictures; the others are left out and named, never replaced."""
        pixels: list[Tensor] = []
        kept: list[int] = []
        skipped: dict[Path, str] = {}
        for position, (path, view) in enumerate(pictures):
            assert view == 0, "augmented views are stored in the cache"
            try:
                pixels.append(self.processor.images([path])[0])
                kept.append(position)
            except ImageError as error:
                skipped[path] = error.message
        return PictureBatch({"pixel_values": torch.stack(pixels)} if pixels else {}, kept, skipped)
