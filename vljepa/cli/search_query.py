"""What a search is for and among which files, as the words of a command line say it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa.cli.output import note
from vljepa.cli.paths_file import read_paths

if TYPE_CHECKING:
    from vljepa.inference.index import Among, Index

_WEIGHT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*\*(.+)", flags=re.DOTALL)


def weighted(given: str) -> tuple[str | Path, float]:
    """A text or an image, and its weight: `0.5*sunset`; 1 where none is given.

    Raises:
        ImageError: It reads like a file that is not there.
    """
    match = _WEIGHT.fullmatch(given)
    text, weight = (given, 1.0) if match is None else (match[2].strip(), float(match[1]))
    return the_query(text, text=None, image=None), weight


def among(index: Index, place: Path, *, paths_file: str | None, **limits: Any) -> Among | None:
    """Which files of an index may be found; None for all.

    Args:
        index: The index.
        place: Where its files lie now.
        paths_file: As for `read_paths`: only these.
        limits: As of `Among`.

    Raises:
        DataError: The file cannot be read, names what is not there, or nothing is left to be found.
    """
    from vljepa.errors import DataError
    from vljepa.inference.index import Among

    found = Among(**limits)
    if not found and paths_file is None:
        return None
    named: set[str] = set()
    if paths_file is not None:
        # A folder may be reached by a link, a file keeps its name, as when it was indexed.
        named = {os.path.join(os.path.realpath(os.path.dirname(one) or "."), os.path.basename(one))
                 for one in read_paths(paths_file)}  # fmt: skip
        found = replace(found, only=lambda path: str(place / path) in named)
    left = found.mask(index.entries)
    if paths_file is not None:
        count = len(index.entries.paths(left))
        if len(named) > count:
            note(f"{len(named) - count} of {len(named)} files of -f are not in the index, or left out")
    if not left.any():
        raise DataError(
            "no file of the index is left to be found.", fix="check --include, --exclude, -f and the times."
        )
    return found


def the_query(query: str | None, *, text: str | None, image: Path | None) -> str | Path:
    """A text, or the path of an image that is there.

    Args:
        query: What reads like a file is one; anything else is a text, also where a file of that name is there.
        text: A text in any case.
        image: A file in any case.

    Raises:
        ConfigError: Not exactly one of the three.
        ImageError: There is no such file.
    """
    from vljepa.errors import ConfigError

    given = [one for one in (query, text, image) if one is not None]
    if len(given) != 1:
        message = "nothing to search for" if not given else "more than one thing to search for"
        raise ConfigError(f"there is {message}.", fix="give one of QUERY, --text and --image.")
    if text is not None:
        return text
    if image is not None:
        return _existing(image, fix="check the path.")
    assert query is not None
    if _reads_like_a_file(query):
        return _existing(Path(query).expanduser(), fix="check the path, or search for the words with --text.")
    if _is_file(Path(query)):
        note(f"searching for the text {query!r}; for the image in the file of that name use --image")
    return query


def _reads_like_a_file(query: str) -> bool:
    from vljepa.processing.file_types import type_by_suffix

    path = Path(query)
    if query.startswith(("/", "./", "../", "~/")) or type_by_suffix(path.suffix) is not None:
        return True
    try:
        return len(path.parts) > 1 and path.parent.is_dir()
    except (OSError, ValueError):  # a text too long for a file name
        return False


def _existing(path: Path, *, fix: str) -> Path:
    from vljepa.errors import ImageError

    if not _is_file(path):
        raise ImageError(f"there is no image {str(path)!r}.", fix=fix)
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
