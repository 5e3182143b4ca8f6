"""Which files are pictures: what a path, a folder or a glob pattern on the command line stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from vljepa.errors import DataError, ImageError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def walk(folder: str | Path) -> list[Path]:
    """Picture files in `folder` and below it, sorted, by their ending; links to folders are not followed.

    Raises:
        DataError: No such folder, or no pictures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise DataError(f"the folder {str(folder)!r} {what}.", fix="name an existing folder of pictures.")
    found = sorted(
        Path(where, name)
        for where, _, names in os.walk(folder, onerror=_stop)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES
    )
    if not found:
        raise DataError(
            f"the folder {str(folder)!r} has no pictures.", fix=f"picture files end in {', '.join(sorted(SUFFIXES))}."
        )
    return found


def expand(words: Sequence[str]) -> list[Path]:
    """Files that command-line words stand for: files as they are, folders walked, glob patterns expanded.

    Raises:
        ImageError: A word that is neither a file, nor a folder, nor a pattern that matches something.
        DataError: A folder without pictures.
    """
    files: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            found = walk(path)
        elif path.exists():
            found = [path]
        else:
            found = [hit for hit in map(Path, sorted(glob.glob(word, recursive=True))) if hit.is_file()]
        if not found:
            raise ImageError(f"there is no picture {word!r}.", fix="check the path; folders and globs work too.")
        files.update(dict.fromkeys(found))
    return list(files)


def _stop(error: OSError) -> None:
    """Without this, `os.walk` passes over folders that it cannot read, and their pictures are silently missing."""
    raise DataError(
        f"the folder {str(error.filename)!r} cannot be read: {error.strerror}.", fix="give read permission, or move it."
    ) from error
