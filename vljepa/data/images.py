"""Images and clips of a batch: from the feature cache, or decoded on the spot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vljepa.data.records import Clip, Still, Visual
from vljepa.data.stored import Stored
from vljepa.errors import ImageError, VideoError
from vljepa.models.types import Latents
from vljepa.processing.image import decode_image, open_image
from vljepa.processing.video import read_clip

if TYPE_CHECKING:
    from vljepa.processing.processor import VLJEPAProcessor


@dataclass
class ImageBatch:
    """What the model takes for some images.

    Args:
        kept: Positions of the images that could be read.
        skipped: Reason per image that could not.
        pixels_BTCHW: Pixels, one row per kept image; or
        latents: what a frozen encoder has made of them.
    """

    kept: list[int]
    skipped: dict[Visual, str]
    pixels_BTCHW: Tensor | None = None
    latents: Latents | None = None


class ImageReader(Protocol):
    """Gives (image, view) pairs to the model; view 0 is the plain image, or a clip's evenly spaced frames."""

    def read(self, images: Sequence[tuple[Visual, int]]) -> ImageBatch:
        """Read some images in one go, or some clips of equally many frames."""
        ...


class LiveImages:
    """Decodes images and clips in every step.

    Of an image there is only the plain view; a clip has as many as there are seeds, each with other frames.

    Args:
        processor: Opens and resizes.
    """

    def __init__(self, processor: VLJEPAProcessor) -> None:
        self.processor = processor

    def unreadable(self, visuals: Iterable[Visual]) -> dict[Visual, str]:
        """Try images or clips one by one; reason for each that cannot be read."""
        skipped: dict[Visual, str] = {}
        for visual in visuals:
            skipped |= self.read([(visual, 0)]).skipped
        return skipped

    def read(self, images: Sequence[tuple[Visual, int]]) -> ImageBatch:
        """Pixels of the readable images; the others are left out and named, never replaced."""
        pixels: list[Tensor] = []
        kept: list[int] = []
        skipped: dict[Visual, str] = {}
        for position, (visual, view) in enumerate(images):
            try:
                pixels.append(self._pixels(visual, view))
                kept.append(position)
            except (ImageError, VideoError) as error:
                skipped[visual] = error.message
        return ImageBatch(kept, skipped, pixels_BTCHW=torch.stack(pixels) if pixels else None)

    def _pixels(self, visual: Visual, view: int) -> Tensor:
        max_pixels = self.processor.config.x_encoder.image.max_pixels
        assert view == 0 or isinstance(visual, Clip), "augmented views of images are stored in the cache"
        return self.processor.frames(visual_frames(visual, view=view, max_pixels=max_pixels))


def visual_frames(visual: Visual, *, view: int = 0, max_pixels: int) -> list[Image.Image]:
    """Frames of whatever is seen: T of a clip, the one image, or T times the same one.

    Raises:
        ImageError: An image cannot be read.
        VideoError: A frame of a clip cannot be had.
    """
    if isinstance(visual, Clip):
        return clip_images(visual, view=view, max_pixels=max_pixels)
    if isinstance(visual, Still):
        return [open_still(visual.image, max_pixels=max_pixels)] * visual.frames
    return [open_still(visual, max_pixels=max_pixels)]


def open_still(image: Path | Stored, *, max_pixels: int) -> Image.Image:
    """Upright RGB image, wherever it lies.

    Raises:
        ImageError: Missing, not an image, truncated, or above the cap.
    """
    if isinstance(image, Stored):
        return decode_image(image.read(), name=str(image), max_pixels=max_pixels)
    return open_image(image, max_pixels=max_pixels)


def clip_images(clip: Clip, *, view: int, max_pixels: int) -> list[Image.Image]:
    """The T frames of a clip, one of each T-th of it: its middle in view 0, else a place drawn with `view` as seed.

    Raises:
        VideoError: A frame cannot be had.
    """
    within_T = np.full(clip.frames, 0.5)
    if view != 0:
        within_T = np.random.Generator(np.random.Philox(view)).random(clip.frames)
    shares_T = (np.arange(clip.frames) + within_T) / clip.frames
    images = read_clip(clip.path, shares=shares_T.tolist(), start=clip.start, end=clip.end, max_pixels=max_pixels)
    return images[::-1] if clip.backwards else images
