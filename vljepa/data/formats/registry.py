"""What a format is, and the list of those that are known: each says by itself whether it recognises a place.

A new format is one file with a `Format`, and one line in `vljepa/data/formats/__init__.py`: CONTRIBUTING.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vljepa.errors import DataError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that no sample can be made of.

    Args:
        reason: What is wrong with it.
        counts: Whether it counts against `max_skipped`; else it is of another kind than what is read, and passed over.
        split: The split that it is of, where that is why it is passed over.
    """

    reason: str
    counts: bool = True
    split: str | None = None


Item = Row | Fault
Numbered = Iterator[tuple[int, Item]]


@dataclass(frozen=True)
class Found:
    """Data of a known format.

    Args:
        kind: Name of the format, such as `csv` or `tars`.
        place: The file or folder that holds the rows; `hf:NAME:SPLIT`; or the pattern of the parts of one split.
        files: Files that the rows are read from, where `place` is a pattern.
        split: Which of `splits` is read; None where all rows are.
        splits: Splits that there are.
        passed_over: What lies at the place and is not read, and why not.
    """

    kind: str
    place: Path | str
    files: tuple[Path, ...] = ()
    split: str | None = None
    splits: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = field(default=(), compare=False)

    @property
    def path(self) -> Path:
        """The place, where it is one on this machine."""
        return Path(self.place)

    def passing(self, *reasons: str) -> Found:
        """The same, with further things that are not read."""
        return replace(self, passed_over=(*self.passed_over, *reasons))


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: What `Found.kind` says.
        recognise: From a file or folder, and the split that is wanted, what there is; None for what is not of this
            format. Looks at names and first bytes, and reads no image. A format without splits of its own passes the
            wanted one on in `Found.split`: rows are then chosen by their column `split`, where they have one.
        rows: Rows of what was recognised, with the numbers of their lines, or of rows where there are no lines, from 1.
            A path of an image is relative to the place; `text` may be a list. A column or key twice is refused.
    """

    name: str
    recognise: Callable[[Path, str | None], Found | None]
    rows: Callable[[Found], Numbered]


FORMATS: dict[str, Format] = {}
"""By name, in the order in which they are asked."""


def register(*formats: Format) -> None:
    """Add formats, after those that are there: the first that recognises a place wins."""
    FORMATS.update({one.name: one for one in formats})


def recognise(place: Path, split: str | None = None) -> Found | None:
    """What the first format that recognises a file or folder makes of it; None if none does.

    Raises:
        DataError: A format recognises it, and cannot read it like this.
    """
    return next((found for one in FORMATS.values() if (found := one.recognise(place, split)) is not None), None)


def rows_of(found: Found) -> Numbered:
    """Rows of what was found, and faults in place of rows, with their numbers from 1.

    Raises:
        DataError: It cannot be read, or is not what it looks like.
    """
    return FORMATS[found.kind].rows(found)


def sound_rows(found: Found) -> Iterator[tuple[int, Row]]:
    """Rows of what was found, where there may be no faults.

    Raises:
        DataError: As `rows_of`, or there is a fault.
    """
    for number, item in rows_of(found):
        if isinstance(item, Fault):
            if item.counts:
                raise DataError(f"{found.place}, row {number}: {item.reason}.", fix="mend or remove the row.")
            continue
        yield number, item


def first_row(found: Found) -> Row | None:
    """The first row without a fault; None without any."""
    return next((item for _, item in rows_of(found) if not isinstance(item, Fault)), None)


def choose_split(splits: tuple[str, ...], wanted: str | None, *, where: object) -> str:
    """The wanted split, or that for training, or the only one.

    Raises:
        DataError: There is no such split, or which one is meant cannot be told.
    """
    if wanted is None and len(splits) == 1:
        return splits[0]
    chosen = next((name for name in splits if name.lower() == (wanted or "train").lower()), None)
    if chosen is None:
        what = "several splits" if wanted is None else f"no split {wanted!r}"
        raise DataError(f"{str(where)!r} has {what}: {', '.join(splits)}.", fix="name one of them with `split`.")
    return chosen
