"""What an index is made of: the pictures and videos that some paths stand for, and one folder that holds them all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.errors import DataError
from vljepa.inference.pictures import SUFFIXES, VIDEO_SUFFIXES, expand, is_video


@dataclass(frozen=True)
class Media:
    """Files to be indexed.

    Args:
        folder: All are in it or below it.
        pictures: Sorted; a GIF or WebP of one frame is a picture.
        videos: Sorted; animated GIF and WebP are videos.
        others: Sorted; what patterns have found beside them, by the ending.
    """

    folder: Path
    pictures: list[Path]
    videos: list[Path]
    others: list[Path]

    def __len__(self) -> int:
        """Number of pictures and videos."""
        return len(self.pictures) + len(self.videos)


def find_media(paths: str | Path | Sequence[str | Path]) -> Media:
    """Pictures and videos of files, folders (with all below them) and glob patterns, each file once.

    In folders and patterns a file's ending says what it is. A file that is named is a video unless it ends like a
    picture. The pictures in a folder are pictures, also where they are the frames of something.

    Raises:
        DataError: A path that stands for nothing, paths on different drives, or a folder whose name an index cannot
            hold.
    """
    words = [paths] if isinstance(paths, str | Path) else paths
    roots: set[Path] = set()
    files: set[Path] = set()
    others: set[Path] = set()
    for word in words:
        whole = Path(word)
        is_folder = whole.is_dir()
        # Links to folders are looked through, so that one file has one name; links to files keep theirs.
        found = {
            file.parent.resolve() / file.name
            for file in expand([str(whole.resolve() if is_folder else word)], videos=True)
        }
        if not whole.exists():  # a pattern
            strange = {file for file in found if file.suffix.lower() not in SUFFIXES | VIDEO_SUFFIXES}
            if strange == found:
                raise DataError(
                    f"of the {len(found)} files of {str(word)!r} none ends like a picture or a video.",
                    fix=f"their endings are {', '.join(sorted(SUFFIXES | VIDEO_SUFFIXES))}; or name the files.",
                )
            others |= strange
            found -= strange
        roots |= {whole.resolve()} if is_folder else {file.parent for file in found}
        files |= found
    if not files:
        raise DataError("there is no path to index.", fix="name files or folders of pictures and videos.")
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
    videos = sorted(file for file in files if is_video(file))
    return Media(folder, sorted(files - set(videos)), videos, sorted(others - files))
