"""Lines of a text file: compressed or not, in UTF-8 or in the UTF-16 that spreadsheets write."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vljepa.errors import DataError

MAX_LINE = 1 << 24
"""Characters of a line; a file of more is none of rows, or a bomb."""


def plain_suffix(file: Path) -> str:
    """Ending of a file in lower case, without that of its compression.

    Example:
        >>> plain_suffix(Path("Captions.CSV")), plain_suffix(Path("train.csv.gz"))
        ('.csv', '.csv')
    """
    suffix = file.suffix.lower()
    return Path(file.stem).suffix.lower() if suffix == ".gz" else suffix


def plain_stem(file: Path) -> str:
    """Name of a file in lower case, without its endings."""
    name = file.name.lower()
    return name.removesuffix(".gz").removesuffix(plain_suffix(file))


@contextmanager
def text_lines(file: Path) -> Iterator[Iterator[str]]:
    """Lines of a file, each with its own end; to be used as a context.

    Raises:
        DataError: It cannot be read, is no text, or has a line without end.
    """
    try:
        with _opened(file) as stream:
            yield _limited(stream, file)
    except (OSError, EOFError, UnicodeError, zlib.error) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}.", fix="save it as UTF-8 text.") from error


def head_lines(file: Path, count: int) -> list[str]:
    """The first lines of a file without their ends; none of a file that is no text.

    Example:
        >>> head_lines(Path("/dev/null"), 2)
        []
    """
    try:
        with text_lines(file) as lines:
            return [line.rstrip("\r\n") for line, _ in zip(lines, range(count), strict=False)]
    except DataError:
        return []


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as binary:
        head = binary.read(2)
        binary.seek(0)
        utf_16 = head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with io.TextIOWrapper(binary, encoding="utf-16" if utf_16 else "utf-8-sig", newline="") as stream:
            yield stream


def _limited(stream: IO[str], file: Path) -> Iterator[str]:
    while line := stream.readline(MAX_LINE):
        if len(line) >= MAX_LINE:
            raise DataError(f"{str(file)!r} has a line of more than {MAX_LINE:,} characters.", fix="break it up.")
        yield line
