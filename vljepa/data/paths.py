"""Paths that come out of data files: they may not leave their root."""

from __future__ import annotations

import re
from pathlib import Path

from vljepa.errors import DataError

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""How absolute paths of Windows begin."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def path_under(root: Path, text: str, *, where: str) -> Path:
    """Resolve a path of a data file, links followed, and refuse one that leaves `root`.

    The file need not exist: a missing image is skipped and counted later, a path that leaves the root is an attack
    or a mistake and stops at once.

    Args:
        root: Folder that the path is relative to; resolved already.
        text: The path as the data file has it.
        where: File and row, for the error.

    Raises:
        DataError: An address, an absolute path, one with `..` or a link that leads outside, or one that no file system
            takes.
    """
    fix = "use paths relative to the source's `root`, or set `root` to the folder that holds the images."
    if not text or "\0" in text:
        raise DataError(f"{where}: {text!r} is not a path.", fix=fix)
    if _ADDRESS.match(text):
        raise DataError(
            f"{where}: {text!r} is an address, and images are read from files.",
            fix="download them (img2dataset does), and name the files.",
        )
    if Path(text).is_absolute() or text.startswith(("~", "\\")) or _DRIVE.match(text):
        raise DataError(f"{where}: the absolute path {text!r} is not allowed.", fix=fix)
    try:
        path = (root / text).resolve()
        if "\\" in text and not path.exists():  # as a table made on Windows names its images
            path = (root / text.replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{where}: {text!r} is not a path ({error}).", fix=fix) from error
    if not path.is_relative_to(root):
        raise DataError(f"{where}: {text!r} leads outside the root {str(root)!r}.", fix=fix)
    return path
