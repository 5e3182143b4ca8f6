"""Small RGB pictures on white, written once."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image

from recipes.mini.records import write_bytes

MAX_PIXELS = 40_000_000


def on_white(image: Image.Image, longest: int) -> Image.Image:
    """Return ``image`` over white, RGB, its longest side at most ``longest``."""
    picture = image.convert("RGBA")
    # Scaled with the alpha still in place (Pillow premultiplies), so that edges take no colour from hidden pixels.
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def save_png(source: Path, target: Path, longest: int) -> bool:
    """Write ``source`` to ``target`` as a PNG on white; return False when it cannot be read or is absurdly large."""
    if target.is_file():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    return False
                picture = on_white(image, longest)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=False)
    write_bytes(target, data.getvalue())
    return True
