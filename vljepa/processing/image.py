"""Images: safe opening, and the preprocessing that travels with the weights."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vljepa.backends.pixels import FILTERS, normalised, resized
from vljepa.configs import ImageConfig
from vljepa.errors import FileWarning, ImageError
from vljepa.processing.file_errors import naming_file
from vljepa.processing.file_types import HEAD_BYTES, is_camera_raw, type_of_bytes
from vljepa.processing.grey import has_value, to_8_bits
from vljepa.processing.libtiff import hush_libtiff
from vljepa.processing.transparency import Ground, on_ground

# Pillow's readers for photos (JPEG reads MPO too): EPS would start Ghostscript, rare ones fail in their own ways.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_WHITE_IS_ZERO = 0
_BITS, _PHOTOMETRIC, _GDAL_NODATA = 258, 262, 42113
"""Tags of TIFF."""
_DARK = 64
"""Of 255: a quarter or less of the scale is used, as in `grey.to_8_bits`."""
_FLAT = 8
"""Levels of 255 that 16-bit colours have to span."""


def open_image(path: str | Path, *, max_pixels: int) -> Image.Image:
    """Open an image as upright RGB: EXIF rotation applied, first frame of an animation; see `to_rgb`.

    The content says what format it is in, not the file's name. HEIC needs the extra `heic`.

    Args:
        path: The file.
        max_pixels: Cap on width x height, checked on the header before a pixel is decoded.

    Raises:
        ImageError: Missing, not an image, truncated, above the cap, or in a format that needs an extra.
    """
    path, name = Path(path), str(path)
    with naming_file(name, ImageError):
        if not path.exists():
            raise ImageError(f"there is no image {name!r}.", fix="check the path.")
        if not path.is_file():  # reading from a pipe might never begin
            raise ImageError(f"{name!r} is not a readable image: not a regular file.", fix="write it to a file.")
        if is_camera_raw(path):
            raise ImageError(
                f"{name!r} is a camera's raw file, and only its small preview could be read.", fix="convert it to JPEG."
            )
        with path.open("rb") as stream:
            return _decoded(stream, name=name, max_pixels=max_pixels)


def decode_image(content: bytes, *, name: str, max_pixels: int) -> Image.Image:
    """An image's file that is in memory already, as `open_image` opens it.

    Args:
        content: The file.
        name: What errors call it.
        max_pixels: Cap on width x height.

    Raises:
        ImageError: As `open_image`.
    """
    with naming_file(name, ImageError):
        return _decoded(io.BytesIO(content), name=name, max_pixels=max_pixels)


def _decoded(stream: BinaryIO, *, name: str, max_pixels: int) -> Image.Image:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if head.startswith((b"II", b"MM")):
        hush_libtiff()
    try:
        with warnings.catch_warnings():
            # Pillow warns near its own bomb limit; the cap below is ours and is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = _heic(stream, name) if type_of_bytes(head) == "heic" else Image.open(stream, formats=_FORMATS)
        with image:
            _check_size(image, name, max_pixels)
            return to_rgb(image, name=repr(name))
    except Image.DecompressionBombError:
        raise _too_large(name, "more pixels than Pillow opens", max_pixels) from None
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name!r} is not a readable image (its content is in no format that is read here).",
            fix="convert or remove the file.",
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(
            f"{name!r} is not a readable image ({type(error).__name__}: {error}).",
            fix="convert or remove the file.",
        ) from error


def _heic(stream: BinaryIO, name: str) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            f"{name!r} is in HEIC, and pillow-heif, which reads it, does not load ({error}).",
            fix='pip install "vljepa-torch[heic]", or convert it to JPEG.',
        ) from error
    image: Image.Image = pillow_heif.HeifImageFile(stream)  # as Pillow opens it: not decoded yet
    return image


def to_rgb(image: Image.Image, *, ground: Ground | None = None, name: str = "the image") -> Image.Image:
    """Upright RGB copy of an image.

    Transparent ones are laid on white, or on black where they are too bright for white. Grey of more than 8 bits is
    scaled by what is in it (see `grey.to_8_bits`).

    Args:
        image: Of any mode.
        ground: What transparent ones are laid on, white or black.
        name: What warnings and errors call it.

    Warns:
        FileWarning: The image is nearly flat, or was until its values were stretched.

    Raises:
        ImageError: It has no pixels.
    """
    if 0 in image.size:
        raise ImageError(f"{name} has no pixels ({image.width} x {image.height}).", fix="leave it out.")
    given, deep_colours = image, _has_deep_colours(image)
    grey = image.mode == "F" or image.mode.startswith("I")
    tags: Any = getattr(image, "tag_v2", {}) if grey else {}
    image.load()  # not below, where an error would leave it black
    image = _upright(image)
    if grey:
        image = _eight_bit_grey(image, tags, name)
    if deep_colours:
        image = _spread(image, name)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = on_ground(image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA"), ground)
    if image.mode != "RGB" or image is given:
        image = image.convert("RGB")
    if deep_colours and (levels := _levels(image)) < _FLAT:
        _warn(name, f"is nearly one colour: its 16-bit values span {levels} of 255 levels")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF says it is to be seen; the same object where that turns nothing."""
    with suppress(Exception):  # broken EXIF turns nothing
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _eight_bit_grey(image: Image.Image, tags: Any, name: str) -> Image.Image:
    """L, or LA where one value stands for transparency."""
    values_HW = np.asarray(image)
    nodata = _nodata(tags, values_HW)
    if not has_value(values_HW, nodata=nodata).any():
        raise ImageError(f"{name} has no number in it, only NaN, infinity or no data.", fix="leave it out.")
    bits = tags.get(_BITS, (None,))[0] if image.mode != "F" else None
    if bits is None and image.mode.startswith("I;16"):
        bits = 16
    grey_HW, warning = to_8_bits(values_HW, bits=bits, nodata=nodata)
    if warning:
        _warn(name, warning)
    grey = Image.fromarray(255 - grey_HW if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey_HW)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values_HW == transparent, 0, 255).astype(np.uint8)))
    return grey


def _nodata(tags: Any, values: Any) -> float | None:
    """What a TIFF of GDAL declares to stand where nothing was measured, if it is one of its numbers."""
    try:
        declared = float(str(tags.get(_GDAL_NODATA, "")).strip("\0 "))
    except ValueError:
        return None
    limits: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    return declared if limits.min <= declared <= limits.max else None


def _has_deep_colours(image: Image.Image) -> bool:
    """Whether a file has colours of 16 bits, of which Pillow keeps the upper 8."""
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile) for tile in getattr(image, "tile", ()))


def _spread(image: Image.Image, name: str) -> Image.Image:
    """Colours whose 16 bits hold fewer, such as a sensor's 12, over all levels: Pillow kept the upper 8 of them."""
    bands = image.split()
    colours = bands[:-1] if "A" in image.getbands() else bands
    highest = max(int(band.getextrema()[1]) for band in colours)  # type: ignore[arg-type]
    if not 0 < highest < _DARK:
        return image
    top = 2 ** highest.bit_length() - 1
    _warn(name, f"uses {8 + highest.bit_length()} of its 16 bits, which were spread over all")
    bright = [band.point([min(255, round(255 * value / top)) for value in range(256)]) for band in colours]
    return Image.merge(image.mode, [*bright, *bands[len(colours) :]])


def _levels(image: Image.Image) -> int:
    return max(highest - lowest for lowest, highest in image.getextrema())  # type: ignore[misc]


def _warn(name: str, warning: str) -> None:
    warnings.warn(f"{name} {warning}.", FileWarning, stacklevel=2)


class ImageTransform:
    """From an RGB image to the pixels that the X-Encoder wants, [C, H, W].

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
        """Augmented view, a pure function of image and seed: random resized crop, mirrored half of the time.

        Args:
            image: RGB image.
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
        fix="scale the image down, or raise x_encoder.image.max_pixels.",
    )
