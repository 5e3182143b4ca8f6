"""Small RGB pictures on white, written once."""

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
    picture = image.convert("RGBA")
    # Scaled with the alpha still in place (Pillow premultiplies), so that edges take no colour from hidden pixels.
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def trimmed(image: Image.Image) -> Image.Image | None:
    """Return ``image`` on white without its empty margins (clip art is often a small drawing on a whole page)."""
    picture = on_white(image, max(image.size))
    ink = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).convert("L")
    box = ink.point([0 if value < INK else 255 for value in range(256)]).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST_INK:
        return None
    margin = max(box[2] - box[0], box[3] - box[1]) // 25 + 1
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    right, bottom = min(picture.width, box[2] + margin), min(picture.height, box[3] + margin)
    return picture.crop((left, top, right, bottom))


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
                picture = on_white(whole, longest)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=False)
    write_bytes(target, data.getvalue())
    return True
