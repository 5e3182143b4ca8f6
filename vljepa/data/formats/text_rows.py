"""A file with a text per line, for what is trained on texts alone."""

from __future__ import annotations

from pathlib import Path

from vljepa.data.formats.registry import Format, Found, Numbered
from vljepa.data.formats.text_files import plain_suffix, text_lines


def recognises(place: Path, split: str | None) -> Found | None:
    """A .txt file that no other format recognises."""
    return Found("txt", place, split=split) if plain_suffix(place) == ".txt" and place.is_file() else None


def line_rows(found: Found) -> Numbered:
    """A row per line that is not empty, by the number of the line."""
    with text_lines(found.path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, {"text": line.strip()}


TEXT_LINES = Format("txt", recognises, line_rows)
