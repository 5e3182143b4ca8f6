"""What exported files are checked and measured with: the caller's images, or made ones, and a few texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vljepa.inference.images import expand
from vljepa.processing.given import ImageInput

TEXTS = (
    "a cat",
    "two dogs run along a beach at sunset, and a child in a red coat looks at them from far away",
    "an old map of the city",
    "Katze und Hund",
    "a bowl of soup with noodles and an egg",
)
"""One is long."""
MOST = 64
"""Images that a measurement takes at most."""


def sample_images(paths: Sequence[str] = ()) -> list[ImageInput]:
    """Images to measure with.

    Args:
        paths: Files, folders or patterns, of which the first `MOST` images are taken; made ones without.

    Raises:
        ImageError: There is no such image.
        DataError: A folder without images.
    """
    return list(expand(paths).files[:MOST]) if paths else [_made(seed) for seed in range(8)]


def _made(seed: int) -> Image.Image:
    """Coarse colours under a few shapes, the same each time."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    image = coarse.resize((300, 240), Image.Resampling.BICUBIC)
    pencil = ImageDraw.Draw(image)
    for _ in range(6):
        left, top, width, height = (int(one) for one in draw.integers(10, 150, 4))
        colour = tuple(int(one) for one in draw.integers(0, 256, 3))
        pencil.ellipse((left, top, left + width, top + height), fill=colour)
    return image
