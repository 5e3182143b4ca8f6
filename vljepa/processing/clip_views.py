"""Augmented views of clips: one cut and one mirroring for all frames, or motion would be told wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vljepa.backends.pixels import FILTERS, normalised
from vljepa.configs import ImageConfig
from vljepa.configs.v_jepa import ViewConfig

_TRIES = 10
"""Draws of a cut that fits; after them the whole frame is taken."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is seen of every frame.

    Args:
        box: Left, top, right and bottom, in pixels of the frame.
        mirrored: Left and right changed.
    """

    box: tuple[float, float, float, float]
    mirrored: bool = False


def draw_cut(size: tuple[int, int], config: ViewConfig, *, seed: int) -> Cut:
    """A random part of a frame; a pure function of its arguments.

    Args:
        size: Width and height of the frames.
        config: How small, of what shape, and whether mirrored.
        seed: Of this view.
    """
    random = np.random.Generator(np.random.Philox(seed))
    mirrored = config.flip and bool(random.random() < 0.5)
    width, height = size
    for _ in range(_TRIES):
        area = width * height * random.uniform(config.min_scale, 1.0)
        aspect = math.exp(random.uniform(math.log(config.aspect[0]), math.log(config.aspect[1])))
        wide, high = math.sqrt(area * aspect), math.sqrt(area / aspect)
        left, top = random.random() * (width - wide), random.random() * (height - high)
        if wide <= width and high <= height:
            return Cut((left, top, left + wide, top + high), mirrored)
    return Cut((0, 0, width, height), mirrored)


def clip_view(images: Sequence[Image.Image], image: ImageConfig, config: ViewConfig, *, seed: int) -> Tensor:
    """Normalised pixels [T, C, H, W] of an augmented view of a clip, whose frames are of one size.

    Args:
        images: RGB frames.
        image: Size, interpolation, mean and standard deviation.
        config: How it is cut and mirrored.
        seed: Of this view.
    """
    assert image.size is not None
    assert image.interpolation is not None
    cut, (height, width) = draw_cut(images[0].size, config, seed=seed), image.size
    frames = []
    for one in images:
        resized = one.resize((width, height), FILTERS[image.interpolation], box=cut.box)
        frames.append(
            normalised(resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if cut.mirrored else resized, image)
        )
    return torch.stack(frames)
