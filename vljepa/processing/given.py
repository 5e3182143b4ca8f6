"""Images as programs hand them over: files, PIL images, arrays, tensors, bytes, open files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vljepa.errors import FileWarning, ImageError
from vljepa.processing.file_errors import naming_file
from vljepa.processing.file_types import HEAD_BYTES, type_of_bytes
from vljepa.processing.grey import to_8_bits
from vljepa.processing.image import decode_image, open_image, to_rgb

ImageInput: TypeAlias = Image.Image | str | Path | bytes | BinaryIO | NDArray[Any] | Tensor
"""One image: the path of a file; a PIL image; the bytes of a file, or the file opened with "rb"; an array H x W x 3 (or
1, or 4 with alpha) or H x W; a tensor C x H x W. Arrays and tensors are RGB (OpenCV's are BGR: turn them first), uint8,
other integers, or floats from 0 to 1."""

_CHANNELS = (1, 3, 4)
_LEAST_OF_255 = 16.0
"""Largest value of an array of floats from 0 to 255; one of a few units is 0 to 1 that has run over."""
_KINDS = "give a path, a PIL image, an array H x W x 3, a tensor C x H x W, the bytes of a file, or an open file."


def is_image(value: object) -> bool:
    """Whether something is one `ImageInput`, by its type; a batch of arrays is not."""
    if isinstance(value, np.ndarray | Tensor):
        return value.ndim <= 3
    return isinstance(value, Image.Image | str | os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def describe(image: object) -> str:
    """What to call an image in a table or an error."""
    if isinstance(image, str | os.PathLike):
        return str(image)
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or "<image>")
    if isinstance(image, np.ndarray | Tensor):
        kind = "tensor" if isinstance(image, Tensor) else "array"
        return f"<{kind} {' x '.join(map(str, image.shape))}>"
    name = getattr(image, "name", None)
    return str(name) if isinstance(name, str) and name else f"<{type(image).__name__}>"


def as_rgb(image: object, *, max_pixels: int) -> Image.Image:
    """Upright RGB image of whatever stands for one.

    Args:
        image: A `ImageInput`.
        max_pixels: Cap on width x height of files.

    Raises:
        ImageError: It is none, or cannot be read; see `open_image`.
    """
    name = describe(image)
    with naming_file(name, ImageError):
        if isinstance(image, str) and "://" in image:
            raise ImageError(f"{image!r} is an address, not a local file.", fix="download it, and name the file.")
        if isinstance(image, str | os.PathLike):
            return open_image(os.fspath(image), max_pixels=max_pixels)
        if isinstance(image, Image.Image):
            return to_rgb(image, name=name)
        if isinstance(image, Tensor):
            return _from_tensor(image, name)
        if isinstance(image, np.ndarray):
            return _from_array(image, name, channels_first=False)
        if isinstance(image, bytes | bytearray | memoryview):
            return _from_bytes(bytes(image), name, max_pixels)
        if hasattr(image, "read"):
            return _from_file(image, name, max_pixels)
    raise ImageError(f"{_short(image)} is not an image but of type {type(image).__name__}.", fix=_KINDS)


def _from_bytes(content: bytes, name: str, max_pixels: int) -> Image.Image:
    if not content:
        raise ImageError(f"{name} is empty.", fix="give the bytes of an image file.")
    if type_of_bytes(content[:HEAD_BYTES]) == "video":
        raise ImageError(f"{name} holds a video.", fix="write it to a file, and name that.")
    return decode_image(content, name=name, max_pixels=max_pixels)


def _from_file(file: Any, name: str, max_pixels: int) -> Image.Image:
    if getattr(file, "seekable", lambda: False)():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise ImageError(f"{name} is not open for bytes, but gives {type(content).__name__}.", fix='open it with "rb".')
    return _from_bytes(content, name, max_pixels)


def _from_tensor(tensor: Tensor, name: str) -> Image.Image:
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.to(torch.float32)
    return _from_array(values.numpy(), name, channels_first=True)


def _from_array(values: NDArray[Any], name: str, *, channels_first: bool) -> Image.Image:
    """Image of an array; where its shape could be read in two ways, `channels_first` says which."""
    if 0 in values.shape:
        raise ImageError(f"{name} has no pixels.", fix="leave it out.")
    if values.ndim == 3:
        first, last = values.shape[0] in _CHANNELS, values.shape[2] in _CHANNELS
        if first and (channels_first or not last):
            values = values.transpose(1, 2, 0)
        elif not last:
            values = values[None]  # refused below
    if values.ndim not in (2, 3):
        raise ImageError(f"{name} has not the shape of an image.", fix=_KINDS)
    levels = _levels(values, name)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[:, :, 0]
    return to_rgb(Image.fromarray(np.ascontiguousarray(levels)), name=name)


def _levels(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Values of any number type as 0 to 255.

    Raises:
        ImageError: They are no brightness.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise ImageError(f"{name} has values of type {values.dtype}.", fix="give uint8, or floats from 0 to 1.")
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ImageError(f"{name} has values that are no numbers.", fix="replace NaN and infinity.")
    whole = values.dtype.kind in "iu"
    if lowest < (0 if whole else -0.05):
        raise ImageError(
            f"{name} has values from {lowest:g} to {highest:g}, as after normalisation.",
            fix="give it before that: uint8, or floats from 0 to 1.",
        )
    if not whole and 1.05 < highest < _LEAST_OF_255:
        raise ImageError(
            f"{name} has floats up to {highest:g}: neither 0 to 1 nor 0 to 255.",
            fix="clip them to 0 to 1, or give uint8.",
        )
    if highest <= 255 and (whole or highest > 1.05):
        return values.clip(0, 255).round().astype(np.uint8)
    levels, shown = to_8_bits(values, bits=16 if whole else None)
    if shown:
        warnings.warn(f"{name} {shown}.", FileWarning, stacklevel=2)
    return levels


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
