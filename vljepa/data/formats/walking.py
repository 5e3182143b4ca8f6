"""What lies in a folder: pictures, and what systems leave beside them and nobody means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vljepa.processing.file_types import IMAGE_SUFFIXES

PICTURES = IMAGE_SUFFIXES
"""Endings of pictures."""
HELD_OUT = ("validation", "valid", "val")
"""Names of validation data: of a file beside the training data, of a folder beside `train`, or of a split."""
SPLITS = frozenset({"train", "training", "test", "testing", "dev", "eval", *HELD_OUT})
_SYSTEM = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})


def is_left_behind(path: Path) -> bool:
    """Whether a name is hidden, or one that a system gives to what it keeps for itself."""
    return path.name.startswith(".") or path.name.lower() in _SYSTEM


def is_picture(path: Path) -> bool:
    """Whether a file is, by its name, a picture that somebody put there."""
    return path.suffix.lower() in PICTURES and not is_left_behind(path) and path.is_file()


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder that somebody put there, by name; a link that leads back up is none."""
    here = folder.resolve()
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not is_left_behind(path)
        and not (path.is_symlink() and here.is_relative_to(path.resolve()))
    )


def pictures_in(folder: Path) -> Iterator[Path]:
    """Pictures right in a folder, by name."""
    return iter(sorted(path for path in folder.iterdir() if is_picture(path)))


def pictures_below(folder: Path) -> Iterator[Path]:
    """Pictures in a folder and anywhere below, but for what systems leave behind."""
    yield from pictures_in(folder)
    for one in folders_in(folder):
        yield from pictures_below(one)


def left_behind(folder: Path) -> list[str]:
    """Names of folders in a folder that are no data, though pictures may lie in them."""
    return [
        f"{path.name}: hidden, or a system's own"
        for path in sorted(folder.iterdir())
        if path.is_dir() and is_left_behind(path)
    ]
