"""Pictures: safe opening, and the preprocessing that travels with the weights."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vljepa.backends.pixels import FILTERS, normalised, resized
from vljepa.configs import ImageConfig
from vljepa.errors import ImageError

# Pillow's readers for photos (JPEG reads MPO too): EPS would start Ghostscript, rare ones fail in their own ways.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def open_image(path: str | Path, *, max_pixels: int) -> Image.Image:
    """Open a picture as upright RGB: EXIF rotation applied, transparency over white, first frame of an animation.

    Args:
        path: The file.
        max_pixels: Cap on width x height, checked on the header before a pixel is decoded.

    Raises:
        ImageError: Missing, not a picture, truncated, or above the cap.
    """
    return _decoded(Path(path), name=str(path), max_pixels=max_pixels)


def decode_image(content: bytes, *, name: str, max_pixels: int) -> Image.Image:
    """A picture's file that is in memory already, as `open_image` opens it.

    Args:
        content: The file.
        name: What errors call it.
        max_pixels: Cap on width x height.

    Raises:
        ImageError: As `open_image`.
    """
    return _decoded(io.BytesIO(content), name=name, max_pixels=max_pixels)


def _decoded(file: Path | BinaryIO, *, name: str, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns near its own bomb limit; the cap below is ours and is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(file, formats=_FORMATS)
        with image:
            _check_size(image, name, max_pixels)
            return to_rgb(image)
    except FileNotFoundError:
        raise ImageError(f"there is no picture {name!r}.", fix="check the path.") from None
    except Image.DecompressionBombError:
        raise _too_large(name, "more pixels than Pillow opens", max_pixels) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(
            f"{name!r} is not a readable picture ({type(error).__name__}: {error}).",
            fix="convert or remove the file.",
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright RGB copy of a decoded picture; transparency is laid over white, 16-bit grey is scaled."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257.0).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


class ImageTransform:
    """From an RGB picture to the pixels that the X-Encoder wants, [C, H, W].

    Args:
        config: Size, resize rule, interpolation, mean and std; nothing may be left open.
    """

    def __init__(self, config: ImageConfig) -> None:
        assert config.is_resolved, config
        assert config.size is not None
        assert config.interpolation is not None
        self.config, self._size = config, list(config.size)
        self._filter = FILTERS[config.interpolation]

    def __call__(self, image: Image.Image) -> Tensor:
        """Deterministic view: what evaluation and use see."""
        return normalised(resized(image, self.config), self.config)

    def view(self, image: Image.Image, *, seed: int, min_scale: float, flip: bool) -> Tensor:
        """Augmented view, a pure function of picture and seed: random resized crop, mirrored half of the time.

        Args:
            image: RGB picture.
            seed: Of this view.
            min_scale: Smallest area share of the crop.
            flip: Whether mirroring is allowed.
        """
        from torchvision.transforms import v2

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            crop = v2.RandomResizedCrop(self._size, scale=(min_scale, 1.0), interpolation=self._filter)
            image = crop(image)
            if flip:
                image = v2.RandomHorizontalFlip()(image)
        return normalised(image, self.config)


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} x {height} pixels", max_pixels)


def _too_large(name: str, what: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"{name!r} has {what}, the cap is {max_pixels:,}.",
        fix="scale the picture down, or raise x_encoder.image.max_pixels.",
    )
