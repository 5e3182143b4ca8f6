"""Which column of a stranger's table is what, guessed by the names that people use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vljepa.data.stored import Stored
from vljepa.errors import DataError

NAMES = {
    "video": ("video", "video_path", "video_file", "clip"),
    "image": ("image", "image_path", "image_file", "image_name", "image_filename", "file", "file_name", "filename",
              "filepath", "file_path", "path", "picture", "photo", "img", "img_path"),
    "text": ("text", "caption", "captions", "answer", "sentences", "sentence", "description", "comment", "title",
             "label", "class", "name"),
    "query": ("query", "question", "prompt"),
    "source_id": ("source_id", "image_id", "picture_id", "img_id", "cocoid", "sha256", "image_url", "url"),
    "candidates": ("candidates", "choices", "options"),
    "type": ("type", "question_type", "answer_type"),
    "start": ("start", "start_time", "begin"),
    "end": ("end", "end_time", "stop"),
}  # fmt: skip
"""Names by what they mean, the likeliest first."""


def guess_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Column of each meaning that a table has, by the names of its columns; images inside a file count by kind.

    Raises:
        DataError: Several columns hold images, or names differ in upper and lower case alone.

    Examples:
        >>> guess_columns({"File": "a.png", "Caption": "a cat", "id": 3})
        {'image': 'File', 'text': 'Caption'}
    """
    by_name: dict[str, list[str]] = {}
    for name in row:
        by_name.setdefault(_plain(name), []).append(name)
    stored = {name: None for name, value in row.items() if isinstance(value, Stored)}
    found: dict[str, str] = {}
    for meaning, names in NAMES.items():
        likely = [name for plain in names for name in by_name.get(plain, [])]
        if meaning == "image" and stored:
            likely = [name for name in likely if name in stored] or list(stored)
            if _plain(likely[0]) not in names and len(likely) > 1:
                _refuse(f"the columns {' and '.join(map(repr, likely))} both hold images")
        if likely:
            alike = by_name[_plain(likely[0])]
            if len(alike) > 1:
                _refuse(f"the columns {' and '.join(map(repr, alike))} have the same name")
            found[meaning] = likely[0]
    return found


def is_known(names: Iterable[str], meaning: str | None = None) -> bool:
    """Whether some name is one that people give to columns, of this meaning or of any."""
    known = {name for one, names in NAMES.items() if meaning in (None, one) for name in names}
    return any(_plain(name) in known for name in names)


def check_once(names: Sequence[str], *, where: Path | str) -> None:
    """Refuse a table with a column name twice: one would hide the other.

    Raises:
        DataError: Naming it.
    """
    twice = next((name for name in names if name and list(names).count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{str(where)!r} has the column {twice!r} twice.", fix="give each column a name of its own.")


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace(" ", "_")


def _refuse(what: str) -> None:
    raise DataError(f"{what}: which is meant cannot be told.", fix="map it with `columns` in a recipe, or rename one.")
