"""What an index is made of: the images and videos that some paths stand for, and one folder that holds them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.errors import DataError
from vljepa.inference.images import Known, KnownFile, MediaFile, folded, in_order, media_below, media_file, named

__all__ = ["Known", "KnownFile", "Media", "MediaFile", "find_media"]


@dataclass(frozen=True)
class Media:
    """Files to be indexed.

    Args:
        folder: All are in it or below it.
        images: Sorted; a GIF, WebP, AVIF or PNG of one frame is an image, and so is a file that nobody can read.
        videos: Sorted; animated GIF, WebP, AVIF and PNG are videos.
        others: Sorted; what lies beside them in folders and is found by patterns, by its content.
        files: Size, time and type of every image and video, by `str` of its path, so that nobody asks for them again.
    """

    folder: Path
    images: list[Path]
    videos: list[Path]
    others: list[Path]
    files: dict[str, MediaFile]

    def __len__(self) -> int:
        """Number of images and videos."""
        return len(self.files)


def find_media(
    paths: str | Path | Sequence[str | Path],
    *,
    known: Known | None = None,
    leave_out: Callable[[str], bool] | None = None,
) -> Media:
    """Images and videos of files, folders (with all below them) and glob patterns, each file once.

    A file's content says what it is. The images in a folder are images, also where they are the frames of
    something.

    Args:
        paths: One or several.
        known: Files that were indexed before, by absolute path, as `str` of those of `Media.images` is: where size and
            time are as they were, a file is what it was then, and is not opened.
        leave_out: Folders below those that are named which are not looked into.

    Raises:
        DataError: A path that stands for nothing, paths on different drives, or a folder whose name an index cannot
            hold.
    """
    words = [paths] if isinstance(paths, str | Path) else paths
    roots: set[str] = set()
    files: dict[str, MediaFile] = {}
    others: dict[str, MediaFile] = {}
    for word in words:
        found, strange = _found(word, known, leave_out)
        roots |= {_whole(word)} if os.path.isdir(word) else {os.path.dirname(file.path) for file in found}
        files.update((file.path, file) for file in found)
        others.update((file.path, file) for file in strange)
    if not files:
        raise DataError("there is no path to index.", fix="name files or folders of images and videos.")
    moving = {path for path, file in files.items() if file.type in ("video", "animation")}
    return Media(
        folder=_common_folder(roots),
        images=in_order(file for path, file in files.items() if path not in moving),
        videos=in_order(files[path] for path in moving),
        others=in_order(file for path, file in others.items() if path not in files),
        files=files,
    )


def _found(
    word: str | Path, known: Known | None, leave_out: Callable[[str], bool] | None
) -> tuple[list[MediaFile], list[MediaFile]]:
    """Files that a word stands for, and those that were passed over."""
    # Links to folders are looked through, so that one file has one name; links to files keep theirs.
    if os.path.isdir(word):
        return media_below(_whole(word), videos=True, known=known, leave_out=leave_out)
    found = [media_file(path, known=known) for path in _below_whole(named(word, videos=True))]
    if os.path.exists(word):
        return found, []
    strange = [file for file in found if file.type is None]  # the word is a pattern
    if len(strange) == len(found):
        raise DataError(
            f"of the {len(found)} files of {str(word)!r} none is an image or a video: {folded(in_order(found))}.",
            fix="name images and videos, or a folder of them.",
        )
    return [file for file in found if file.type is not None], strange


def _below_whole(files: Sequence[Path]) -> list[str]:
    """The files under the names of their folders without links, each folder looked up once."""
    whole: dict[Path, str] = {}
    for file in files:
        if file.parent not in whole:
            whole[file.parent] = _whole(file.parent)
    return [os.path.join(whole[file.parent], file.name) for file in files]


def _whole(folder: str | Path) -> str:
    return os.path.realpath(folder)


def _common_folder(roots: set[str]) -> Path:
    try:
        folder = Path(os.path.commonpath(roots))
    except ValueError as error:
        raise DataError("the paths are on different drives.", fix="make an index for each drive.") from error
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"the name of the folder {str(folder)!r} is not UTF-8, and an index holds its folder by name.",
            fix="rename it, or index a folder above it.",
        ) from error
    return folder
