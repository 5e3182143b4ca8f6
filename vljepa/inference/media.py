"""What an index is made of: the images and videos that some paths stand for, and one folder that holds them all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.errors import DataError
from vljepa.inference.images import expand, folded, media_type


@dataclass(frozen=True)
class Media:
    """Files to be indexed.

    Args:
        folder: All are in it or below it.
        images: Sorted; a GIF, WebP, AVIF or PNG of one frame is an image, and so is a file that nobody can read.
        videos: Sorted; animated GIF, WebP, AVIF and PNG are videos.
        others: Sorted; what lies beside them in folders and is found by patterns, by its content.
    """

    folder: Path
    images: list[Path]
    videos: list[Path]
    others: list[Path]

    def __len__(self) -> int:
        """Number of images and videos."""
        return len(self.images) + len(self.videos)


def find_media(paths: str | Path | Sequence[str | Path]) -> Media:
    """Images and videos of files, folders (with all below them) and glob patterns, each file once.

    A file's content says what it is. The images in a folder are images, also where they are the frames of
    something.

    Raises:
        DataError: A path that stands for nothing, paths on different drives, or a folder whose name an index cannot
            hold.
    """
    words = [paths] if isinstance(paths, str | Path) else paths
    roots: set[Path] = set()
    files: set[Path] = set()
    others: set[Path] = set()
    for word in words:
        found, strange = _found(word)
        roots |= {Path(word).resolve()} if Path(word).is_dir() else {file.parent for file in found}
        files |= found
        others |= strange
    if not files:
        raise DataError("there is no path to index.", fix="name files or folders of images and videos.")
    videos = sorted(file for file in files if media_type(file) in ("video", "animation"))
    return Media(_common_folder(roots), sorted(files - set(videos)), videos, sorted(others - files))


def _found(word: str | Path) -> tuple[set[Path], set[Path]]:
    """Files that a word stands for, and those that were passed over."""
    whole = Path(word)
    # Links to folders are looked through, so that one file has one name; links to files keep theirs.
    expanded = expand([str(whole.resolve() if whole.is_dir() else word)], videos=True)
    found = {file.parent.resolve() / file.name for file in expanded.files}
    strange = {file.parent.resolve() / file.name for file in expanded.passed_over}
    if not whole.exists():  # a pattern
        strange = {file for file in found if media_type(file) is None}
        if strange == found:
            raise DataError(
                f"of the {len(found)} files of {str(word)!r} none is an image or a video: {folded(sorted(found))}.",
                fix="name images and videos, or a folder of them.",
            )
        found -= strange
    return found, strange


def _common_folder(roots: set[Path]) -> Path:
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
