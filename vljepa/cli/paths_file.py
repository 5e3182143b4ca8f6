"""Paths from a file or a pipe: what `find`, `fd` and `rg --files` print, a line or a NUL after each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vljepa.errors import ConfigError, DataError

STDIN = "-"


def with_paths_of(words: Sequence[str], file: str | None) -> list[str]:
    """Paths from the command line, and those of a file after them.

    Args:
        words: From the command line.
        file: Its name, `-` for standard input, or None. Where there is a NUL in it, NULs end paths, else line ends do.

    Raises:
        ConfigError: There is no path at all.
        DataError: The file cannot be read, or names what is not there.
    """
    found = [*words, *([] if file is None else read_paths(file))]
    if not found:
        where = "" if file is None else f" on the command line or in {_shown(file)}"
        raise ConfigError(f"there is no image{where}.", fix="name images, or give a file of their paths with -f.")
    return found


def read_paths(file: str) -> list[str]:
    """Paths of a file, in its order, each once; see `with_paths_of`.

    Raises:
        DataError: The file cannot be read, or names what is not there.
    """
    try:
        content = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {file!r}: {error.strerror}.", fix="check the path, or give - for a pipe."
        ) from error
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    paths = list(dict.fromkeys(os.fsdecode(part) for part in parts if part))
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{_shown(file)} names {missing[0]!r}{more}, where there is nothing.",
            fix="name files that are there; relative paths start in the current folder.",
        )
    return paths


def _shown(file: str) -> str:
    return "standard input" if file == STDIN else repr(file)
