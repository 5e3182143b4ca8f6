"""Which files are pictures or videos: what a path, a folder or a glob pattern on the command line stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from vljepa.errors import DataError, ImageError
from vljepa.processing.picture_sequence import is_moving

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_MPEG = {".m2ts", ".mp4", ".mpeg", ".mpg", ".mts", ".ts"}
VIDEO_SUFFIXES = frozenset({".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".ogv", ".webm", ".wmv"} | _MPEG)
_SYNC = b"\x47"
"""First byte of MPEG-TS, whose ending `.ts` is that of TypeScript too."""


def is_video(file: Path) -> bool:
    """Whether a file is a video: it does not end like a picture, or it is an animated GIF or WebP."""
    return file.suffix.lower() not in SUFFIXES or is_moving(file)


def walk(folder: str | Path, *, videos: bool = False) -> list[Path]:
    """Picture files in `folder` and below it, sorted, by their ending; links to folders are not followed.

    Args:
        folder: Where to look.
        videos: Video files too.

    Raises:
        DataError: No such folder, or no pictures in it.
    """
    folder, what = Path(folder), _named(videos)
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "is not there"
        raise DataError(f"the folder {str(folder)!r} {state}.", fix=f"name an existing folder of {what}.")
    endings = SUFFIXES | VIDEO_SUFFIXES if videos else SUFFIXES
    found = sorted(
        Path(where, name)
        for where, _, names in os.walk(folder, onerror=_stop)
        for name in names
        if Path(name).suffix.lower() in endings and not is_special(Path(where, name)) and not _is_source(where, name)
    )
    if not found:
        raise DataError(
            f"the folder {str(folder)!r} has no {what}.", fix=f"their files end in {', '.join(sorted(endings))}."
        )
    return found


def expand(words: Sequence[str], *, videos: bool = False) -> list[Path]:
    """Files that command-line words stand for: files as they are, folders walked, glob patterns expanded.

    Args:
        words: Files, folders and patterns.
        videos: Of folders, take video files too.

    Raises:
        ImageError: A word that is neither a file, nor a folder, nor a pattern that matches something.
        DataError: A folder without pictures.
    """
    files: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            found = walk(path, videos=videos)
        elif path.exists():
            found = [path]
        else:
            found = [hit for hit in map(Path, sorted(glob.glob(word, recursive=True))) if hit.is_file()]
        if not found:
            what = "picture or video" if videos else "picture"
            raise ImageError(f"there is no {what} {word!r}.", fix="check the path; folders and globs work too.")
        files.update(dict.fromkeys(found))
    return list(files)


def is_special(file: Path) -> bool:
    """Whether something is there that is no regular file: reading from a pipe might never end."""
    return os.path.exists(file) and not os.path.isfile(file)  # unlike those of Path they never raise


def _is_source(folder: str, name: str) -> bool:
    """Whether a file that ends in `.ts` is no video; one that cannot be read passes, and is complained of later."""
    if not name.lower().endswith(".ts"):
        return False
    try:
        with Path(folder, name).open("rb") as file:
            return file.read(1) != _SYNC
    except OSError:
        return False


def _named(videos: bool) -> str:
    return "pictures or videos" if videos else "pictures"


def _stop(error: OSError) -> None:
    """Without this, `os.walk` passes over folders that it cannot read, and their pictures are silently missing."""
    raise DataError(
        f"the folder {str(error.filename)!r} cannot be read: {error.strerror}.", fix="give read permission, or move it."
    ) from error
