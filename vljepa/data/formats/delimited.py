"""Tables with a header line: commas, semicolons, tabs or pipes, whichever the header shows.

Quotes are taken strictly. A quote that nobody closes would swallow the rows after it up to the next quote, and the
reader of Python's library would say nothing: here the line that opens it is a fault, and the rows after it are read.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from vljepa.data.formats.names import check_once, is_known
from vljepa.data.formats.registry import Fault, Format, Found, Item, Numbered, Row
from vljepa.data.formats.text_files import MAX_LINE, head_lines, plain_suffix, text_lines

SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",\t;|"
_FILE_ENDING = re.compile(r"\.[A-Za-z0-9]{2,4}$")


def recognises(place: Path, split: str | None) -> Found | None:
    """A .csv or .tsv file, and a .txt file whose first line names an image and a text."""
    suffix = plain_suffix(place)
    if suffix not in SUFFIXES or not place.is_file():
        return None
    if suffix == ".txt":
        header = _header(place)[1]
        if not (is_known(header, "text") and (is_known(header, "image") or is_known(header, "video"))):
            return None
    return Found("tsv" if suffix == ".tsv" else "csv", place, split=split)


def delimited_rows(found: Found) -> Numbered:
    """Rows of a table, by the names in its first line.

    Raises:
        DataError: No UTF-8 or UTF-16 text, or a column name twice.
    """
    file = found.path
    delimiter, header, skipped = _header(file)
    check_once(header, where=file)
    with text_lines(file) as lines:
        for _ in range(skipped + 1):
            next(lines, None)
        records = _records(lines, delimiter=delimiter, width=len(header))
        for number, item in enumerate(records, start=1):
            yield number, item if isinstance(item, Fault) else _row(header, item)


CSV = Format("csv", recognises, delimited_rows)
# Recognised by CSV; only what it is called differs.
TSV = Format("tsv", lambda place, split: None, delimited_rows)


def _header(file: Path) -> tuple[str, list[str], int]:
    """Delimiter, names of the columns, and lines before them: Excel writes `sep=;` there."""
    csv.field_size_limit(MAX_LINE)  # the library's own 128 KiB are less than some texts
    lines = head_lines(file, 2)
    skipped = 1 if len(lines) > 1 and re.fullmatch(r"sep=.", lines[0]) else 0
    line = lines[skipped] if len(lines) > skipped else ""
    usual = "\t" if plain_suffix(file) == ".tsv" else ","
    delimiters = dict.fromkeys([usual, *_DELIMITERS])

    def fit(delimiter: str) -> tuple[int, int]:
        names = _fields(line, delimiter)
        return sum(is_known([name]) for name in names) if len(names) > 1 else 0, len(names)

    best = max(delimiters, key=fit)  # the usual one wins a tie
    return best, _fields(line, best), skipped


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


def _row(header: Sequence[str], fields: Sequence[str]) -> Item:
    if len(fields) > len(header) and any(field.strip() for field in fields[len(header) :]):
        return Fault(
            f"{len(fields)} fields, and the header has {len(header)}: a text with a delimiter in it needs quotes"
        )
    if len(fields) < len(header) - sum(not name for name in header):
        return Fault(f"{len(fields)} fields, and the header has {len(header)}")
    row: Row = dict(zip(header, (field.strip() for field in fields), strict=False))
    row.pop("", None)
    return row


class _Lines:
    """Lines that can be given back, and those that were taken since the last record."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._back: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        self._back.extendleft(reversed(lines))


def _records(lines: Iterator[str], *, delimiter: str, width: int) -> Iterator[list[str] | Fault]:
    source = _Lines(lines)
    table = csv.reader(source, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        source.taken.clear()
        try:
            fields = next(table)
            broken = len(source.taken) > 1 and _swallowed(source.taken, delimiter=delimiter, width=width)
        except StopIteration:
            return
        except csv.Error:
            fields, broken = [], True
        if broken:
            source.give_back(source.taken[1:])
            yield _literal(source.taken[0], delimiter=delimiter, width=width)
        elif fields:
            yield fields


def _literal(line: str, *, delimiter: str, width: int) -> list[str] | Fault:
    """A line whose quotes are no quoting: where tabs divide it, quotes may be part of the text."""
    fields = _unquoted(line, delimiter)
    if delimiter == "\t" and len(fields) == width:
        return fields
    return Fault("a quote that is not closed, or stands inside of quotes without being doubled")


def _swallowed(taken: Sequence[str], *, delimiter: str, width: int) -> bool:
    """Whether a record of several lines is several records: each alone names a file in the same column."""
    first, *others = ([field.strip() for field in _unquoted(line, delimiter)] for line in taken)
    if len(first) != width:
        return False
    named = [column for column, field in enumerate(first) if _FILE_ENDING.search(field)]
    return any(len(other) == width and any(_FILE_ENDING.search(other[column]) for column in named) for other in others)


def _unquoted(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
