"""Preprocessing as one function of a config, and the proof that it is what a library does itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vljepa.configs import ImageConfig
from vljepa.errors import PartError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_PROBES = ((301, 227), (90, 150), *((width, 128) for width in range(200, 209)))
"""Width and height of the images that two transforms are compared on: both orientations, enlarging, and a row of widths
of which some leave a margin whose half is rounded differently."""
_TOLERANCE = 0.02
"""Mean difference in normalised units; a shift by one pixel gives ten times as much (tests/contract)."""


def resized(image: Image.Image, config: ImageConfig) -> Image.Image:
    """RGB image of the config's size, as its resize rule says."""
    assert config.size is not None
    assert config.interpolation is not None
    (height, width), method = config.size, FILTERS[config.interpolation]
    if config.resize == "squash":
        if config.resize_to is None:
            return _scaled(image, (width, height), config)
        return _centre(_scaled(image, (config.resize_to, config.resize_to), config), config)
    if config.resize == "shortest_edge":
        short, shorter = config.resize_to or min(height, width), min(image.size)
        # As torchvision: the longer side is cut down to whole pixels.
        scaled = [short if side == shorter else int(short * side / shorter) for side in image.size]
        return _centre(_scaled(image, (scaled[0], scaled[1]), config), config)
    if config.resize == "pad":
        return _padded(image, config)
    fitted = (round(width / config.crop_fraction), round(height / config.crop_fraction))
    whole = ImageOps.fit(image, fitted, method)
    left, top = (fitted[0] - width) // 2, (fitted[1] - height) // 2
    return whole.crop((left, top, left + width, top + height))


def _scaled(image: Image.Image, size: tuple[int, int], config: ImageConfig) -> Image.Image:
    """The image in another size, width and height, by the config's resampler: they differ by a level here and there."""
    assert config.interpolation is not None
    method = FILTERS[config.interpolation]
    if config.resampler == "pillow":
        return image.resize(size, method)
    from torchvision.transforms.v2 import functional

    pixels_CHW = functional.pil_to_tensor(image)
    scaled_CHW = functional.resize(pixels_CHW, [size[1], size[0]], interpolation=method, antialias=True)
    scaled: Image.Image = functional.to_pil_image(scaled_CHW)
    return scaled


def normalised(image: Image.Image, config: ImageConfig) -> Tensor:
    """Pixels [C, H, W] of an RGB image, by the config's mean and standard deviation."""
    assert config.mean is not None
    assert config.std is not None
    # In NumPy: torch would start threads of its own in every thread that reads images.
    pixels_CHW = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")
    pixels_CHW /= np.float32(255)
    pixels_CHW -= np.array(config.mean, dtype=np.float32)[:, None, None]
    pixels_CHW /= np.array(config.std, dtype=np.float32)[:, None, None]
    return torch.from_numpy(pixels_CHW)


def fitting(fields: dict[str, Any], *, library: Callable[[Image.Image], Tensor], part: str) -> dict[str, Any]:
    """The fields, with the resampler and the rounding with which they give what the library's own transform gives.

    Args:
        fields: Of `ImageConfig`, as read from the library's files.
        library: Its own transform, RGB image to [C, H, W].
        part: What errors call it.

    Raises:
        PartError: None does: the files ask for steps that `ImageConfig` does not have.
    """
    images = [_probe(width, height) for width, height in _PROBES]
    wanted = [library(image) for image in images]
    best, chosen = float("inf"), fields
    for resampler, rounding in product(("pillow", "torchvision"), ("half_even", "down")):
        found = {**fields, "resampler": resampler, "rounding": rounding}
        config = ImageConfig(**found)
        ours = [normalised(resized(image, config), config) for image in images]
        if any(one.shape != other.shape for one, other in zip(ours, wanted, strict=True)):
            break
        difference = max(float((one - other).abs().mean()) for one, other in zip(ours, wanted, strict=True))
        if difference < best:
            best, chosen = difference, found
    if best > _TOLERANCE:
        reason = "its pixels have another shape" if best == float("inf") else f"difference {best:.3f}"
        raise PartError(
            f"the preprocessing of {part} has steps that vljepa does not know ({reason}).",
            fix="say how it wants to see: x_encoder.image with size, mean, std, resize and interpolation.",
        )
    return chosen


def _padded(image: Image.Image, config: ImageConfig) -> Image.Image:
    assert config.size is not None
    assert config.mean is not None
    height, width = config.size
    red, green, blue = config.fill or (round(255 * one) for one in config.mean)
    wide, high = (width, height) if config.resize_to is None else (config.resize_to, config.resize_to)
    ratio = min(wide / image.width, high / image.height)
    scaled = _scaled(image, (max(1, round(image.width * ratio)), max(1, round(image.height * ratio))), config)
    whole = Image.new("RGB", (max(width, scaled.width), max(height, scaled.height)), (red, green, blue))
    whole.paste(scaled, ((whole.width - scaled.width) // 2, (whole.height - scaled.height) // 2))
    return _centre(whole, config)


def _centre(image: Image.Image, config: ImageConfig) -> Image.Image:
    """Cut the config's size out of the middle; what is missing at an edge is black."""
    assert config.size is not None
    height, width = config.size
    left, top = (_half(have - want, config) for have, want in zip(image.size, (width, height), strict=True))
    return image.crop((left, top, left + width, top + height))


def _half(margin: int, config: ImageConfig) -> int:
    if margin < 0:  # both pad more on the far side
        return -(-margin // 2)
    return round(margin / 2) if config.rounding == "half_even" else margin // 2


def _probe(width: int, height: int) -> Image.Image:
    """An image with structure of every size, the same each time."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8))
    fine = draw.integers(-20, 21, (height, width, 3))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int64)
    return Image.fromarray((smooth + fine).clip(0, 255).astype(np.uint8))
