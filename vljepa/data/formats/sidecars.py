"""Images with a text file of the same name beside each: `a.png` and `a.txt`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vljepa.data.formats.registry import Fault, Format, Found, Numbered
from vljepa.data.formats.walking import folders_in, images_below, is_image_name, left_behind, names_in
from vljepa.errors import DataError

_ENDINGS = (".txt", ".caption")
MAX_TEXT_BYTES = 1 << 20


def recognises(place: Path, split: str | None) -> Found | None:
    """A folder where some image, in it or below, has its text beside it."""
    if not place.is_dir():
        return None
    taken, lonely = 0, 0
    for folder in _folders_below(place):
        names = set(names_in(folder))
        stems = {os.path.splitext(name)[0] for name in names if is_image_name(name)}
        texts = [name for name in names if name.endswith(_ENDINGS)]
        here = sum(os.path.splitext(name)[0] in stems for name in texts)
        taken, lonely = taken + here, lonely + len(texts) - here
    if not taken:
        return None
    passed = [*left_behind(place), *([f"{lonely} texts without an image beside them"] if lonely else [])]
    return Found("sidecars", place, split=split, passed_over=tuple(passed))


def _folders_below(folder: Path) -> Iterator[Path]:
    yield folder
    for one in folders_in(folder):
        yield from _folders_below(one)


def sidecar_rows(found: Found) -> Numbered:
    """A row per image; one without a text is a fault, never an empty caption.

    Raises:
        DataError: A text is not UTF-8, or none at all by its size.
    """
    for number, image in enumerate(images_below(found.path), start=1):
        name, beside = str(image.relative_to(found.path)), _text_of(image)
        if beside is None:
            yield number, Fault(f"{name} has no text beside it")
        else:
            yield number, {"image": name, "text": _read(beside)}


def _text_of(image: Path) -> Path | None:
    return next((text for ending in _ENDINGS if (text := image.with_suffix(ending)).is_file()), None)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise DataError(f"{str(file)!r} is no text of an image: too long.", fix="remove it.")
        return file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeError) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}.", fix="save it as UTF-8 text.") from error


SIDECARS = Format("sidecars", recognises, sidecar_rows)
