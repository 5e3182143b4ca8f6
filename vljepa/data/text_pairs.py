"""Pairs of texts that say the same thing in two ways: `view_a` and `view_b`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vljepa.data.formats import find_data, sound_rows
from vljepa.errors import DataError

PARALLEL = (("src.txt", "targ.txt"), ("view_a.txt", "view_b.txt"))
"""Names of two files with a text in each line, line by line the two views of a pair."""


class TextPair(NamedTuple):
    """Two views.

    Args:
        first: What is predicted from: `view_a`, what a user says, a source.
        second: What is predicted: `view_b`, what an assistant answers, a target.
    """

    first: str
    second: str


def read_pairs(path: str | Path) -> list[TextPair]:
    """Pairs of a file or folder.

    Args:
        path: A folder with `src.txt` and `targ.txt`, or `view_a.txt` and `view_b.txt`; or any table that `vljepa train`
            reads, with columns `view_a` and `view_b`, or with `messages` of a user and an assistant.

    Raises:
        DataError: It cannot be read, a row is no pair, or there is none.
    """
    place = Path(path)
    names = next((names for names in PARALLEL if all((place / name).is_file() for name in names)), None)
    pairs = list(_lines(place, *names) if names else _rows(place))
    if not pairs:
        raise DataError(f"there are no pairs in {str(path)!r}.", fix="give one row for each pair.")
    return pairs


def _lines(folder: Path, first: str, second: str) -> Iterator[TextPair]:
    try:
        one, other = ((folder / name).read_text(encoding="utf-8").splitlines() for name in (first, second))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(folder)!r} cannot be read: {error}.", fix="save both files as UTF-8.") from error
    if len(one) != len(other):
        raise DataError(
            f"{first} has {len(one)} lines and {second} {len(other)} in {str(folder)!r}.",
            fix="give one line of each for a pair.",
        )
    for number, (a, b) in enumerate(zip(one, other, strict=True), start=1):
        yield _pair(a, b, where=f"{folder}, line {number}")


def _rows(place: Path) -> Iterator[TextPair]:
    # A row of text alone is no conversation about an image, which is what the formats make of `messages`.
    rows = _json_lines(place) if place.suffix == ".jsonl" else sound_rows(find_data(place))
    for number, row in rows:
        where = f"{place}, row {number}"
        yield _of_messages(row["messages"], where=where) if "messages" in row else _of_columns(row, where=where)


def _json_lines(place: Path) -> Iterator[tuple[int, Any]]:
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(place)!r} cannot be read: {error}.", fix="check the path; save it as UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{place}, line {number}: {error}.", fix="write one JSON object in each line.") from error
        if not isinstance(row, dict):
            raise DataError(f"{place}, line {number}: {line[:40]!r} is no object.", fix="write one in each line.")
        yield number, row


def _of_columns(row: Mapping[str, Any], *, where: str) -> TextPair:
    missing = [name for name in ("view_a", "view_b") if name not in row]
    if missing:
        raise DataError(f"{where}: there is no column {missing[0]!r}.", fix="name the columns view_a and view_b.")
    return _pair(row["view_a"], row["view_b"], where=where)


def _of_messages(messages: Any, *, where: str) -> TextPair:
    """Chat of one question and one answer; what a system says is left out."""
    said: dict[str, Any] = {}
    for one in messages if isinstance(messages, list) else []:
        if isinstance(one, Mapping):
            said[str(one.get("role"))] = one.get("content")
    if not {"user", "assistant"} <= set(said):
        raise DataError(f"{where}: `messages` has no user and assistant.", fix="give one message of each.")
    return _pair(said["user"], said["assistant"], where=where)


def _pair(first: Any, second: Any, *, where: str) -> TextPair:
    for one in (first, second):
        if not isinstance(one, str) or not one.strip():
            raise DataError(f"{where}: a view is {one!r}.", fix="give a text that is not empty, or remove the row.")
    return TextPair(first.strip(), second.strip())
