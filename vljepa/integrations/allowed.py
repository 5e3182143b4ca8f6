"""Which files a program that others command may read: those below some folders, and no link or `..` to get there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vljepa.errors import DataError, ImageError
from vljepa.inference.media import find_media


class AllowedFolders:
    """Folders whose files may be read.

    Args:
        folders: At least one; each may itself be reached by a link, what is below may not.

    Raises:
        DataError: One is no folder.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise DataError(f"there is no folder {str(folder)!r}.", fix="name existing folders.")
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))

    def file(self, given: str) -> Path:
        """The file that a path stands for.

        Args:
            given: Absolute, or relative to one of the folders: the first that has it.

        Raises:
            DataError: It is outside, goes through `..` or a link, or is no file; which of these is not said.
        """
        path = Path(given)
        if "\0" not in given and ".." not in path.parts:
            places = [path] if path.is_absolute() else [folder / path for folder in self.folders]
            for place in places:
                if any(_is_plainly_below(place, folder) for folder in self.folders) and os.path.isfile(place):
                    return place
        raise DataError(
            f"{given!r} is no file below the allowed folders.",
            fix=f"name one below {', '.join(map(str, self.folders))}, without .. and links.",
        )

    def media(self) -> list[Path]:
        """Images and videos below the folders, without those that are links or behind one.

        Raises:
            DataError: There are none, or a folder cannot be read.
        """
        plain: dict[Path, None] = {}  # one folder may lie in another
        for folder in self.folders:
            with suppress(ImageError, DataError):  # nothing in this one
                found = find_media([folder])
                plain |= dict.fromkeys(
                    file for file in (*found.images, *found.videos) if _is_plainly_below(file, folder)
                )
        if not plain:
            raise DataError("the allowed folders have no images or videos but links.", fix="put some there.")
        return [file for file in plain if os.path.isfile(file)]


def _is_plainly_below(path: Path, folder: Path) -> bool:
    """Whether a path lies below a folder, with no link on the way from there."""
    if not path.is_relative_to(folder) or path == folder:
        return False
    places = [path, *path.parents]
    return not any(place.is_symlink() for place in places[: places.index(folder)])
