"""JSON files. What is in one tells whose layout it is: each layout recognises the content, and reads it.

A new layout is one file with a `Layout`, and one entry in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vljepa.data.formats import coco, karpathy, vqa
from vljepa.data.formats.conversations import turns_of
from vljepa.data.formats.json_text import load_json
from vljepa.data.formats.registry import Format, Found, Item, Numbered
from vljepa.data.formats.text_files import plain_suffix
from vljepa.errors import DataError


@dataclass(frozen=True)
class Layout:
    """A layout of JSON files.

    Args:
        recognise: Whether a content is of this layout.
        rows: Rows and faults of a content; gets the file, for what lies beside it, and the wanted split.
    """

    recognise: Callable[[Any], bool]
    rows: Callable[[Any, Found], Iterator[Item]]


def _objects(content: Any, found: Found) -> Iterator[Item]:
    for number, row in enumerate(content, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{found.place}, row {number}: not a JSON object.", fix="give a list of objects.")
        yield from turns_of(row)


LAYOUTS = (
    Layout(lambda content: isinstance(content, list), _objects),
    Layout(vqa.recognises, vqa.vqa_rows),
    Layout(karpathy.recognises, karpathy.karpathy_rows),
    Layout(coco.recognises, coco.coco_rows),
)


def recognises(place: Path, split: str | None) -> Found | None:
    """A .json file."""
    if plain_suffix(place) != ".json" or not place.is_file():
        return None
    return Found("json", place, split=split)


def json_rows(found: Found) -> Numbered:
    """Rows of a JSON file, with their numbers from 1.

    Raises:
        DataError: Of no known layout, or a part of it is missing.
    """
    content = load_json(found.path)
    layout = next((one for one in LAYOUTS if one.recognise(content)), None)
    if layout is None:
        raise DataError(
            f"{str(found.place)!r} is neither COCO captions, Karpathy's splits, VQA questions nor a list of objects.",
            fix="COCO has `images` and `annotations`, VQA has `questions`; or write JSON Lines.",
        )
    yield from enumerate(layout.rows(content, found), start=1)


JSON = Format("json", recognises, json_rows)
