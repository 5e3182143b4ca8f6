"""A table in several files: the hub's own layout, `data/train-00000-of-00004.parquet`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.data.formats.registry import Format, Found, Numbered, choose_split, recognise, rows_of
from vljepa.data.formats.text_files import plain_stem, plain_suffix
from vljepa.data.formats.walking import names_in
from vljepa.errors import DataError

_PART = re.compile(
    r"(?P<split>.*?)[-_.]?(?P<number>\d+)(?P<rest>-of-(?P<count>\d+)(-[0-9a-f]{16})?|-[0-9a-f-]{32,}(\.c\d+)?(\.\w+)?)?"
)
_SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv")
_ALL = "all"


def recognises(place: Path, split: str | None) -> Found | None:
    """A folder, or its `data`, with numbered parts of tables; or the pattern of some, `data/train-*.parquet`."""
    if "*" in place.name and not place.exists() and place.parent.is_dir():
        files = sorted(place.parent.glob(place.name))
        return Found("parts", place, files=tuple(files), split=split) if files else None
    if not place.is_dir():
        return None
    for folder in (place, place / "data"):
        if folder.is_dir() and (parts := _parts_in(folder)):
            return _chosen(folder, parts, split)
    return None


def part_rows(found: Found) -> Numbered:
    """Rows of all parts, one after the other, numbered through.

    Raises:
        DataError: A part cannot be read.
    """
    number = 0
    for file in found.files:
        part = recognise(file)
        if part is None:
            raise DataError(f"the part {str(file)!r} is of no known kind.", fix=f"use {', '.join(_SUFFIXES)}.")
        last, before = 0, number
        for row, item in rows_of(part):
            last = row
            yield before + row, item
        number = before + last


@dataclass(frozen=True)
class _Part:
    file: Path
    number: int
    count: int | None
    pattern: str


def _parts_in(folder: Path) -> dict[str, list[_Part]]:
    """Parts by split; empty for a folder of other files."""
    found: dict[str, list[_Part]] = {}
    for file in (folder / name for name in names_in(folder)):
        if plain_suffix(file) not in _SUFFIXES:
            continue
        stem, suffix = file.name[: len(plain_stem(file))], file.name[len(plain_stem(file)) :]
        part = _PART.fullmatch(stem)
        if part is None:
            continue
        split = part["split"].lower()
        count = None if part["count"] is None else int(part["count"])
        pattern = f"{stem[: part.start('number')]}*{suffix}"
        found.setdefault(_ALL if split in ("", "part") else split, []).append(
            _Part(file, int(part["number"]), count, pattern)
        )
    return {split: parts for split, parts in found.items() if _is_numbered(parts)}


def _is_numbered(parts: Sequence[_Part]) -> bool:
    """Whether files say that they are parts of a whole, or count from 0 or 1: `captions_2017.csv` does neither."""
    numbers = [part.number for part in parts]
    counted = len(parts) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(parts)))
    return all(part.count is not None for part in parts) or counted


def _chosen(folder: Path, parts: dict[str, list[_Part]], split: str | None) -> Found:
    names = tuple(parts)
    chosen = _ALL if names == (_ALL,) else choose_split(names, split, where=folder)
    files = tuple(part.file for part in parts[chosen])
    count = parts[chosen][0].count
    if count is not None and len(files) != count:
        raise DataError(
            f"{str(folder)!r} has {len(files)} of the {count} parts of {files[0].name!r}.",
            fix="fetch the others, or name the pattern of those that are there, such as 'train-0000*'.",
        )
    others = [f"split {name}: {len(parts[name])} files" for name in names if name != chosen]
    taken = {part.file for some in parts.values() for part in some}
    beside = [f"{file.name}: no part" for file in map(folder.joinpath, names_in(folder)) if file not in taken]
    return Found(
        "parts",
        folder / parts[chosen][0].pattern,
        files=files,
        split=None if chosen == _ALL else chosen,
        splits=names,
        passed_over=(*others, *beside),
    )


PARTS = Format("parts", recognises, part_rows)
