"""Pictures of which nothing else is known: all that lie in a folder or below."""

from __future__ import annotations

from pathlib import Path

from vljepa.data.formats.registry import Format, Found, Numbered
from vljepa.data.formats.walking import pictures_below


def all_pictures(folder: Path) -> Found:
    """All pictures of a folder, whatever texts there are beside them."""
    return Found(BARE_PICTURES.name, folder)


def _rows(found: Found) -> Numbered:
    for number, picture in enumerate(pictures_below(found.path), start=1):
        yield number, {"image": str(picture.relative_to(found.path))}


BARE_PICTURES = Format("bare pictures", lambda place, split: None, _rows)
"""Recognised nowhere: who wants no texts says so."""
