"""Small RGB images on white, written once."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageChops

from recipes.mini.records import write_bytes

MAX_PIXELS = 16_000_000
INK = 24  # a channel that differs from white by less is paper
SMALLEST_INK = 16  # a drawing smaller than this, in pixels of the original, is a speck


def on_white(image: Image.Image, longest: int) -> Image.Image:
    """Return ``image`` over white, RGB, its longest side at most ``longest``."""
    image = image.convert("RGBA")
    # Scaled with the alpha still in place (Pillow premultiplies), so that edges take no colour from hidden pixels.
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def trimmed(image: Image.Image) -> Image.Image | None:
    """Return ``image`` on white without its empty margins (clip art is often a small drawing on a whole page)."""
    image = on_white(image, max(image.size))
    ink = ImageChops.difference(image, Image.new("RGB", image.size, "white")).convert("L")
    box = ink.point([0 if value < INK else 255 for value in range(256)]).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST_INK:
        return None
    margin = max(box[2] - box[0], box[3] - box[1]) // 25 + 1
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    right, bottom = min(image.width, box[2] + margin), min(image.height, box[3] + margin)
    return image.crop((left, top, right, bottom))


def save_png(source: Path, target: Path, longest: int, *, trim: bool = False) -> bool:
    """Write ``source`` to ``target`` as a PNG on white.

    Returns False when it cannot be read, is absurdly large or, with ``trim``, shows nothing.
    """
    if target.is_file():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    return False
                whole = trimmed(image) if trim else image
                if whole is None:
                    return False
                image = on_white(whole, longest)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    data = io.BytesIO()
    image.save(data, format="PNG", optimize=False)
    write_bytes(target, data.getvalue())
    return True
