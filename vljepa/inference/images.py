"""Which files are images or videos: what a path, a folder or a glob pattern on the command line stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vljepa.errors import DataError, ImageError
from vljepa.processing.file_types import file_type, type_by_suffix
from vljepa.processing.image_sequence import is_moving

MediaType = Literal["image", "animation", "video"]


@dataclass
class Found:
    """Files that some words stand for.

    Attributes:
        files: To be read, each once.
        passed_over: What else lies in the folders, such as texts, or videos where only images are wanted.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def media_type(file: Path) -> MediaType | None:
    """What a file is by its content, and only where that says nothing by its ending; None where it is neither.

    A HEIC image is an image, whether or not it can be read here. An animation is a GIF, WebP, AVIF or PNG of several
    frames.
    """
    found = still_or_video(file)
    return "animation" if found == "image" and is_moving(file) else found


def still_or_video(file: Path) -> Literal["image", "video"] | None:
    """The same without a look at whether an image moves."""
    try:
        found = type_by_suffix(file.suffix) if is_special(file) else file_type(file)
    except OSError:  # whoever reads it says what is wrong
        found = type_by_suffix(file.suffix)
    return "image" if found == "heic" else found


def walk(folder: str | Path, *, videos: bool = False) -> Found:
    """Image files in `folder` and below it, sorted, by their content; links to folders are not followed.

    Args:
        folder: Where to look.
        videos: Video files too.

    Raises:
        DataError: No such folder, or no images in it.
    """
    folder, what = Path(folder), _named(videos)
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "is not there"
        raise DataError(f"the folder {str(folder)!r} {state}.", fix=f"name an existing folder of {what}.")
    found = Found()
    for where, _, names in os.walk(folder, onerror=_stop):
        for name in names:
            file = Path(where, name)
            if is_special(file):
                continue
            kind = media_type(file)
            wanted = kind is not None and (videos or kind != "video")
            (found.files if wanted else found.passed_over).append(file)
    if not found.files:
        beside = f"; passed over: {folded(sorted(found.passed_over), folder=folder)}" if found.passed_over else ""
        raise DataError(f"the folder {str(folder)!r} has no {what}{beside}.", fix=f"name a folder of {what}.")
    return Found(sorted(found.files), sorted(found.passed_over))


def expand(words: Sequence[str], *, videos: bool = False) -> Found:
    """Files that command-line words stand for: files as they are, folders walked, glob patterns expanded.

    Args:
        words: Files, folders and patterns.
        videos: Of folders, take video files too.

    Raises:
        ImageError: A word that is neither a file, nor a folder, nor a pattern that matches something.
        DataError: A folder without images.
    """
    files: dict[Path, None] = {}
    passed_over: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            walked = walk(path, videos=videos)
            found = walked.files
            passed_over.update(dict.fromkeys(walked.passed_over))
        elif path.exists():
            found = [path]
        else:
            found = [hit for hit in map(Path, sorted(glob.glob(word, recursive=True))) if hit.is_file()]
        if not found:
            what = "image or video" if videos else "image"
            raise ImageError(f"there is no {what} {word!r}.", fix="check the path; folders and globs work too.")
        files.update(dict.fromkeys(found))
    return Found(list(files), [file for file in passed_over if file not in files])


def folded(files: Sequence[Path], *, folder: Path | None = None, most: int = 5) -> str:
    """Names of files in one line: the first few, and how many more."""
    names = [str(file if folder is None else file.relative_to(folder)) for file in files[:most]]
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(names) + more


def is_special(file: Path) -> bool:
    """Whether something is there that is no regular file: reading from a pipe might never end."""
    return os.path.exists(file) and not os.path.isfile(file)  # unlike those of Path they never raise


def _named(videos: bool) -> str:
    return "images or videos" if videos else "images"


def _stop(error: OSError) -> None:
    """Without this, `os.walk` passes over folders that it cannot read, and their images are silently missing."""
    raise DataError(
        f"the folder {str(error.filename)!r} cannot be read: {error.strerror}.", fix="give read permission, or move it."
    ) from error
