"""What lies in a folder: images, and what systems leave beside them and nobody means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vljepa.processing.file_types import IMAGE_SUFFIXES

IMAGES = IMAGE_SUFFIXES
"""Endings of images."""
HELD_OUT = ("validation", "valid", "val")
"""Names of validation data: of a file beside the training data, of a folder beside `train`, or of a split."""
SPLITS = frozenset({"train", "training", "test", "testing", "dev", "eval", *HELD_OUT})
_SYSTEM = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})


def is_left_behind(name: str) -> bool:
    """Whether a name is hidden, or one that a system gives to what it keeps for itself."""
    return name.startswith(".") or name.lower() in _SYSTEM


def names_in(folder: Path) -> list[str]:
    """Names of files in a folder that somebody put there, in order; a folder may hold millions."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not is_left_behind(entry.name) and entry.is_file())


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder that somebody put there, by name; a link that leads back up is none."""
    here = folder.resolve()
    with os.scandir(folder) as entries:
        found = sorted(entry.path for entry in entries if not is_left_behind(entry.name) and entry.is_dir())
    paths = map(Path, found)
    return [path for path in paths if not (path.is_symlink() and here.is_relative_to(path.resolve()))]


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name."""
    return os.path.splitext(name)[1].lower() in IMAGES


def images_in(folder: Path) -> Iterator[Path]:
    """Images right in a folder, by name."""
    return (folder / name for name in names_in(folder) if is_image_name(name))


def has_images(folder: Path) -> bool:
    """Whether there are images right in a folder."""
    with os.scandir(folder) as entries:
        return any(is_image_name(one.name) and not is_left_behind(one.name) and one.is_file() for one in entries)


def images_below(folder: Path) -> Iterator[Path]:
    """Images in a folder and anywhere below, but for what systems leave behind."""
    yield from images_in(folder)
    for one in folders_in(folder):
        yield from images_below(one)


def left_behind(folder: Path) -> list[str]:
    """Names of folders in a folder that are no data, though images may lie in them."""
    return [
        f"{path.name}: hidden, or a system's own"
        for path in sorted(folder.iterdir())
        if path.is_dir() and is_left_behind(path.name)
    ]
