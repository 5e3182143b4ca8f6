"""Which files are images or videos: what a path, a folder or a glob pattern on the command line stands for."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from vljepa.errors import DataError, ImageError
from vljepa.processing.file_types import file_type, read_head, type_by_content, type_by_suffix
from vljepa.processing.image_sequence import moves

MediaType = Literal["image", "animation", "video"]


class KnownFile(NamedTuple):
    """What was known of a file when it was indexed.

    Args:
        size: In bytes.
        mtime: In seconds since 1970; 0 where the file has to be looked at again.
        video: Whether it was a video or an animation, and not an image.
    """

    size: int
    mtime: float
    video: bool


class MediaFile(NamedTuple):
    """A file as it was when it was looked for.

    Args:
        path: Of the file.
        size: In bytes; 0, with an `mtime` of 0, where it is not there, such as behind a lost link.
        mtime: In seconds since 1970.
        type: What it is; None where it is neither an image nor a video. An animation that is unchanged is a video.
        unchanged: Whether size and time are those of the `KnownFile`; its content was not looked at then.
    """

    path: str
    size: int
    mtime: float
    type: MediaType | None
    unchanged: bool = False


Known = Mapping[str, KnownFile]
"""By absolute path, without links to folders in it."""


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
    return media_file(str(file)).type


def still_or_video(file: Path) -> Literal["image", "video"] | None:
    """The same without a look at whether an image moves."""
    try:
        found = type_by_suffix(file.suffix) if is_special(file) else file_type(file)
    except OSError:  # whoever reads it says what is wrong
        found = type_by_suffix(file.suffix)
    return "image" if found == "heic" else found


def media_file(path: str, *, known: Known | None = None) -> MediaFile:
    """A file with its size, time and type: one `stat`, and one look into it unless it is known and unchanged.

    Args:
        path: Of the file.
        known: Files as they were before.
    """
    return _seen(path, _status(path), known)


def files_below(
    folder: str, *, known: Known | None = None, leave_out: Callable[[str], bool] | None = None
) -> Iterator[MediaFile]:
    """Every regular file in `folder` and below it, in no order, and lost links; links to folders are not followed.

    Args:
        folder: Where to look.
        known: Files as they were before.
        leave_out: Folders below it that are not looked into.

    Raises:
        DataError: A folder cannot be read.
    """
    for where, below, names in os.walk(folder, onerror=_stop):
        if leave_out is not None:
            below[:] = [one for one in below if not leave_out(os.path.join(where, one))]
        for name in names:
            path = os.path.join(where, name)
            status = _status(path)
            if status is None or stat.S_ISREG(status.st_mode):  # reading from a pipe might never end
                yield _seen(path, status, known)


def media_below(
    folder: str, *, videos: bool, known: Known | None = None, leave_out: Callable[[str], bool] | None = None
) -> tuple[list[MediaFile], list[MediaFile]]:
    """The files of `files_below`: those that are wanted, of which there is at least one, and the others.

    Args:
        folder: Where to look.
        videos: Video files are wanted, too.
        known: As for `files_below`.
        leave_out: As for `files_below`.

    Raises:
        DataError: No such folder, or no images in it.
    """
    what = "images or videos" if videos else "images"
    if not os.path.isdir(folder):
        state = "is a file" if os.path.exists(folder) else "is not there"
        raise DataError(f"the folder {folder!r} {state}.", fix=f"name an existing folder of {what}.")
    wanted: list[MediaFile] = []
    others: list[MediaFile] = []
    for file in files_below(folder, known=known, leave_out=leave_out):
        (wanted if file.type is not None and (videos or file.type != "video") else others).append(file)
    if not wanted:
        beside = f"; passed over: {folded(in_order(others), folder=Path(folder))}" if others else ""
        raise DataError(f"the folder {folder!r} has no {what}{beside}.", fix=f"name a folder of {what}.")
    return wanted, others


def in_order(files: Iterable[MediaFile]) -> list[Path]:
    """Their paths sorted as paths are, part by part."""
    return [Path(path) for path in sorted((file.path for file in files), key=path_order)]


def path_order(path: str) -> str:
    """Sort key by which the files of a folder stand together, as `Path` sorts them."""
    return path.replace(os.sep, "\0")


def walk(folder: str | Path, *, videos: bool = False) -> Found:
    """Image files in `folder` and below it, sorted, by their content; links to folders are not followed.

    Args:
        folder: Where to look.
        videos: Video files too.

    Raises:
        DataError: No such folder, or no images in it.
    """
    wanted, others = media_below(str(Path(folder)), videos=videos)
    return Found(in_order(wanted), in_order(others))


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
        if os.path.isdir(word):
            walked = walk(word, videos=videos)
            files.update(dict.fromkeys(walked.files))
            passed_over.update(dict.fromkeys(walked.passed_over))
        else:
            files.update(dict.fromkeys(named(word, videos=videos)))
    return Found(list(files), [file for file in passed_over if file not in files])


def named(word: str | Path, *, videos: bool = False) -> list[Path]:
    """The files that a word stands for which is no folder: itself, or, sorted, what it matches as a pattern.

    Args:
        word: A file or a pattern.
        videos: For errors: whether it may be a video.

    Raises:
        ImageError: There are none.
    """
    if os.path.exists(word):
        return [Path(word)]
    found = [hit for hit in sorted(glob.glob(str(word), recursive=True)) if os.path.isfile(hit)]
    if not found:
        what = "image or video" if videos else "image"
        raise ImageError(f"there is no {what} {str(word)!r}.", fix="check the path; folders and globs work too.")
    return [Path(hit) for hit in found]


def folded(files: Sequence[Path], *, folder: Path | None = None, most: int = 5) -> str:
    """Names of files in one line: the first few, and how many more."""
    names = [str(file if folder is None else file.relative_to(folder)) for file in files[:most]]
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(names) + more


def is_special(file: Path) -> bool:
    """Whether something is there that is no regular file: reading from a pipe might never end."""
    return os.path.exists(file) and not os.path.isfile(file)  # unlike those of Path they never raise


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # not there, behind a lost link, or no path at all
        return None


def _seen(path: str, status: os.stat_result | None, known: Known | None) -> MediaFile:
    if status is None:
        return MediaFile(path, 0, 0.0, _by_suffix(path))
    size, mtime = status.st_size, status.st_mtime
    before = known.get(path) if known else None
    if before is not None and mtime and (size, mtime) == before[:2]:
        return MediaFile(path, size, mtime, "video" if before.video else "image", unchanged=True)
    return MediaFile(path, size, mtime, _by_content(path) if stat.S_ISREG(status.st_mode) else _by_suffix(path))


def _by_content(path: str) -> MediaType | None:
    try:
        head = read_head(path)
    except OSError:  # whoever reads it says what is wrong
        return _by_suffix(path)
    found = type_by_content(os.path.basename(path), head)
    if found == "image" and moves(path, head):
        return "animation"
    return "image" if found == "heic" else found


def _by_suffix(path: str) -> MediaType | None:
    found = type_by_suffix(os.path.splitext(path)[1])
    return "image" if found == "heic" else found


def _stop(error: OSError) -> None:
    """Without this, `os.walk` passes over folders that it cannot read, and their images are silently missing."""
    raise DataError(
        f"the folder {str(error.filename)!r} cannot be read: {error.strerror}.", fix="give read permission, or move it."
    ) from error
