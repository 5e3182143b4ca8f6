"""How a frame of a video must be turned or mirrored to be upright."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

from PIL import Image

_Transpose = Image.Transpose
# First two rows of a display matrix, by sign: where a frame's x and y axes point on the screen.
_TURNS = {
    (0, 1, -1, 0): _Transpose.ROTATE_270,
    (-1, 0, 0, -1): _Transpose.ROTATE_180,
    (0, -1, 1, 0): _Transpose.ROTATE_90,
    (-1, 0, 0, 1): _Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): _Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): _Transpose.TRANSPOSE,
    (0, -1, -1, 0): _Transpose.TRANSVERSE,
}
_ROTATIONS = {1: _Transpose.ROTATE_90, 2: _Transpose.ROTATE_180, 3: _Transpose.ROTATE_270}
"""By quarter turns against the clock, for a frame of which only the rotation is known."""


def turn_of(frame: Any) -> _Transpose | None:
    """How a frame of PyAV must be turned or mirrored to be upright; None where it is."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return _ROTATIONS.get(round(frame.rotation / 90) % 4)
    values = struct.unpack("=9i", matrix)
    a, b, _, c, d = values[:5]
    largest = max(abs(a), abs(b), abs(c), abs(d), 1)
    return _TURNS.get(tuple(round(value / largest) for value in (a, b, c, d)))


def _display_matrix(frame: Any) -> bytes | None:
    """Nine integers; None where there are none, or none that PyAV can list.

    FFmpeg attaches kinds of side data that PyAV's list does not have yet, such as EXIF in Motion JPEG. PyAV stops
    listing there, and what came before is found all the same.
    """
    from av.sidedata import sidedata

    # `frame.side_data` would stay in the frame and hold on to it, and so to the decoder and its threads. (PyAV's stub
    # does not know that the class takes the frame.)
    maker: Any = sidedata.SideDataContainer
    try:
        container = maker(frame)
    except ValueError:
        container = maker.__new__(maker)
        with suppress(ValueError):
            container.__init__(frame)
    for number in range(len(container)):
        with suppress(Exception):
            if container[number].type.name == "DISPLAYMATRIX":
                matrix = bytes(container[number])[:36]
                return matrix if len(matrix) == 36 else None
    return None
