"""Transparent images: laid on white or black, whichever shows what is on them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

Ground = Literal["white", "black"]

_TOO_BRIGHT = 191
"""Mean brightness, of 255, above which something is hard to see on white."""


def ground_for(image: Image.Image) -> Ground:
    """White, or black for what is so bright that it would vanish on white.

    Args:
        image: RGBA.
    """
    alpha_HW = np.asarray(image.getchannel("A"), dtype=np.float64)
    total = float(alpha_HW.sum())
    if total == 0:
        return "white"
    grey_HW = np.asarray(image.convert("RGB").convert("L"), dtype=np.float64)
    return "black" if float((grey_HW * alpha_HW).sum()) / total > _TOO_BRIGHT else "white"


def on_ground(image: Image.Image, ground: Ground | None = None) -> Image.Image:
    """RGB image of an RGBA one.

    Args:
        image: RGBA.
        ground: What to lay it on; by default what `ground_for` says. Frames of one animation share it.
    """
    below = Image.new("RGBA", image.size, ground or ground_for(image))
    return Image.alpha_composite(below, image).convert("RGB")
