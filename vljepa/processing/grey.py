"""Grey images of more than 8 bits, floats among them, as 8 bits: bright enough to be seen, whatever their scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_CONTRAST = 1 / 8
"""Share of the scale that the values have to span; below it they are stretched."""
_NO_VALUE = 1e30
_TAILS = (0.5, 99.5)
"""Percentiles between which the values lie: a dead pixel is no contrast."""


def has_value(values: NDArray[Any], *, nodata: float | None = None) -> NDArray[np.bool_]:
    """Where there is a value: a finite number that is not what the file or its kind writes where nothing was measured.

    Args:
        values: Of any shape and number type.
        nodata: What the file declares; without that, floats near the ends of their range, such as -3.4e38.
    """
    there: NDArray[np.bool_] = np.isfinite(values)
    if values.dtype.kind == "f":
        there &= np.abs(np.where(there, values, 0.0)) < _NO_VALUE
    return there if nodata is None else there & (values != values.dtype.type(nodata))


def to_8_bits(
    values: NDArray[Any], *, bits: int | None = None, nodata: float | None = None
) -> tuple[NDArray[np.uint8], str]:
    """Values of any number type as 0 to 255.

    The scale is the smallest that is plausible: the declared number of bits; where only a quarter of it or less is
    used, as many bits as the values have (12 bits, or 8, in a 16-bit file); for floats 0 to 1, 0 to 255 or 16 bits.
    Values that span less than an eighth of it (thermal images, depths, very dark scenes) are stretched over all of it,
    as are negative ones.

    Args:
        values: Of any shape; there is at least one (`has_value`). Where there is none, it becomes black.
        bits: What the file declares.
        nodata: As of `has_value`.

    Returns:
        The same shape, and what the user should know, as the end of a sentence; empty where all is as usual.
    """
    there = has_value(values, nodata=nodata)
    known = values[there].astype(np.float64)
    lowest, highest = float(known.min()), float(known.max())
    if values.dtype.kind == "i" and bits is not None:
        bits = min(bits, 8 * values.dtype.itemsize - 1)  # one is the sign
    top = _top(lowest, highest, bits=bits, floats=values.dtype.kind == "f")
    bottom = 0.0
    low, high = (float(value) for value in np.percentile(known, _TAILS))
    if low == high:  # nearly all are one value: what little there is beside it counts
        low, high = lowest, highest
    warning = ""
    if low == high and top is not None:
        warning = f"is one flat grey (all values are {low:g})"
    elif top is None or high - low < _LEAST_CONTRAST * top:
        warning = f"has values from {low:g} to {high:g}, which were stretched to black and white"
        bottom, top = low, high if high > low else low + 1
    scaled = (np.where(there, values, bottom).astype(np.float64) - bottom) * (255.0 / (top - bottom))
    return scaled.clip(0, 255).round().astype(np.uint8), warning


def _top(lowest: float, highest: float, *, bits: int | None, floats: bool) -> float | None:
    """The value that is white; None where the values themselves have to say."""
    if floats and lowest >= -0.05 and highest <= 1.05:
        return 1.0
    if lowest < 0:
        return None
    used = max(8, int(highest).bit_length())
    declared = bits if bits is not None else 16
    if used > declared:
        return float(2**used - 1)
    full = 2**declared - 1
    return float(full if highest > full // 4 else 2**used - 1)
