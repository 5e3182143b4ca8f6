"""The one place where whatever a library raises over a file becomes an error that names the file.

Readers of files call other people's code, and a stranger's file finds what nobody listed: a `KeyError` of a codec, an
enumeration that is older than the file. None of it may end a batch of other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vljepa.errors import DataError, VLJEPAError

_LONGEST = 200


@contextmanager
def naming_file(name: str | Path, kind: type[DataError], *, fix: str = "convert or remove the file.") -> Iterator[None]:
    """Turn any exception of the block into a `kind` that names the file.

    Errors that are the user's already pass as they are. So do `KeyboardInterrupt`, `SystemExit` and the closing of a
    generator, which are no `Exception`, and `MemoryError`, which says something about the program.

    Args:
        name: Of the file.
        kind: Error to raise.
        fix: What the user can do.

    Example:
        >>> with naming_file("a.png", ImageError):  # doctest: +SKIP
        ...     image = decode("a.png")
    """
    try:
        yield
    except (VLJEPAError, MemoryError):
        raise
    except Exception as error:
        raise as_file_error(error, name, kind, fix=fix) from error


def as_file_error(
    error: Exception, name: str | Path, kind: type[DataError], *, fix: str = "convert or remove the file."
) -> DataError:
    """The error that names the file; one that is of `kind` already stays as it is."""
    if isinstance(error, kind):
        return error
    message = " ".join(str(error).split())[:_LONGEST]
    reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return kind(f"{str(name)!r} cannot be read ({reason}).", fix=fix)
