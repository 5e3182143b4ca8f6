"""JSON Lines: an object per line."""

from __future__ import annotations

from pathlib import Path

from vljepa.data.formats.conversations import turns_of
from vljepa.data.formats.json_text import json_object
from vljepa.data.formats.registry import Fault, Format, Found, Numbered
from vljepa.data.formats.text_files import plain_suffix, text_lines

SUFFIXES = (".jsonl", ".ndjson")


def recognises(place: Path, split: str | None) -> Found | None:
    """A .jsonl or .ndjson file."""
    is_one = plain_suffix(place) in SUFFIXES and place.is_file()
    return Found("jsonl", place, split=split) if is_one else None


def json_line_rows(found: Found) -> Numbered:
    """Rows by the number of their line; a conversation gives one per turn.

    Raises:
        DataError: A line has a key twice.
    """
    with text_lines(found.path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = json_object(line, where=f"{found.place}, row {number}")
                items = [row] if isinstance(row, Fault) else turns_of(row)
                yield from ((number, item) for item in items)


JSON_LINES = Format("jsonl", recognises, json_line_rows)
