"""A folder of pictures per class: the folder's name is what is on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def is_class_folder(folder: Path) -> bool:
    """Whether some subfolder holds a picture."""
    return next(_pictures(folder), None) is not None


def class_rows(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A row per picture, by folder and name: `red_apple/1.jpg` shows "red apple"."""
    for number, picture in enumerate(_pictures(folder), start=1):
        text = picture.parent.name.replace("_", " ").replace("-", " ")
        yield number, {"image": str(picture.relative_to(folder)), "text": text}


def _pictures(folder: Path) -> Iterator[Path]:
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from sorted(path for path in subfolder.iterdir() if path.suffix.lower() in PICTURES)
