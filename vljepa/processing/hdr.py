"""Frames of high dynamic range (PQ or HLG, as phones and television have them) as the ordinary ones that models know.

Read as if they were ordinary they are flat and grey. Here light is made of the code values (ITU-R BT.2100), white paper
(203 cd/m2, ITU-R BT.2408) becomes nearly white, what is brighter is rolled off, and colours are brought from BT.2020 to
BT.709.

Shapes: H x W x 3, RGB.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PQ, _HLG = 16, 18
"""Transfer characteristics of ITU-T H.273."""
_BT_2020 = 9
"""Colour primaries of ITU-T H.273."""
_PAPER, _HLG_PEAK = 203.0, 1000.0
"""Light in cd/m2."""
_KNEE = 0.75
"""Share of paper white above which light is rolled off."""
_ROWS = 256
"""Rows at a time, so that a large frame takes little memory."""
_STEPS = 4096
_TO_BT_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)

Floats = NDArray[np.float32]


def is_hdr(frame: Any) -> bool:
    """Whether a frame of PyAV is of high dynamic range."""
    return int(frame.color_trc) in (_PQ, _HLG)


def sdr_image(frame: Any, *, width: int) -> Image.Image:
    """RGB image of such a frame.

    Args:
        frame: Of PyAV.
        width: Of the image; the height stays.
    """
    codes_HWC = frame.reformat(width=width, height=frame.height, format="rgb48le").to_ndarray()
    wide = int(frame.color_primaries) == _BT_2020
    light = _light(int(frame.color_trc))
    levels = np.empty(codes_HWC.shape, dtype=np.uint8)
    for start in range(0, len(codes_HWC), _ROWS):
        rows = slice(start, start + _ROWS)
        levels[rows] = _levels(light[codes_HWC[rows] >> 4], hlg=int(frame.color_trc) == _HLG, wide=wide)
    return Image.fromarray(levels)


def _levels(light_HWC: Floats, *, hlg: bool, wide: bool) -> NDArray[np.uint8]:
    if hlg:  # the screen's own gamma, on brightness
        bright_HW1 = light_HWC @ np.array([[0.2627], [0.6780], [0.0593]], dtype=np.float32)
        light_HWC = light_HWC * bright_HW1**0.2 * np.float32(_HLG_PEAK / _PAPER)
    if wide:
        light_HWC = light_HWC @ _TO_BT_709.T
    brightest_HW1 = light_HWC.max(axis=2, keepdims=True)
    over = np.maximum(brightest_HW1 - _KNEE, 0.0)
    rolled_HW1 = np.minimum(brightest_HW1, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over / (1 - _KNEE)))
    light_HWC = light_HWC * (rolled_HW1 / np.maximum(brightest_HW1, 1e-6))  # one factor for all three keeps the hue
    return _gamma()[(light_HWC.clip(0, 1) * (_STEPS - 1)).round().astype(np.int32)]


@cache
def _light(transfer: int) -> Floats:
    """Light for each of 4,096 code values: of PQ in units of paper white, of HLG before the screen's gamma, 0 to 1."""
    code = np.linspace(0, 1, _STEPS)
    if transfer == _PQ:
        power = code ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (light * (10_000 / _PAPER)).astype(np.float32)
    low, high = code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(code <= 0.5, low, high).astype(np.float32)


@cache
def _gamma() -> NDArray[np.uint8]:
    """Level of sRGB for each of 4,096 steps of light."""
    light = np.linspace(0, 1, _STEPS)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * curve).round().astype(np.uint8)
