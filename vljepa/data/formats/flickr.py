"""Flickr8k's and Flickr30k's token files: `1000.jpg#0<TAB>A child .`, five lines an image and no header."""

from __future__ import annotations

import re
from pathlib import Path

from vljepa.data.formats.registry import Fault, Format, Found, Numbered
from vljepa.data.formats.text_files import head_lines, plain_suffix, text_lines

_LINE = re.compile(r"(?P<image>[^\t]+?\.\w{2,4})(?:\.\d+)?#\d+\t\s*(?P<text>.*)")


def recognises(place: Path, split: str | None) -> Found | None:
    """A .txt, .token or .csv file whose first line is an image, the number of its caption, a tab and the caption."""
    if plain_suffix(place) not in (".txt", ".token", ".csv", ".tsv") or not place.is_file():
        return None
    first = head_lines(place, 1)
    return Found("flickr", place, split=split) if first and _LINE.fullmatch(first[0]) else None


def flickr_rows(found: Found) -> Numbered:
    """A row per image, by the number of its first line, with all its captions.

    Raises:
        DataError: The file is no UTF-8 text.
    """
    images: dict[str, tuple[int, list[str]]] = {}
    with text_lines(found.path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line.rstrip("\r\n"))
            if match is None:
                yield number, Fault("no image with the number of its caption, a tab and the caption")
            else:
                images.setdefault(match["image"], (number, []))[1].append(match["text"])
    for image, (number, texts) in images.items():
        yield number, {"image": image, "text": texts}


FLICKR = Format("flickr", recognises, flickr_rows)
