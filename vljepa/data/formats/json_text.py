"""JSON, read so that nothing in it is lost without a word."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from vljepa.data.formats.registry import Fault
from vljepa.errors import DataError

_MAX_BYTES = 1 << 32
"""Of a JSON file, which is read whole."""


def load_json(file: Path) -> Any:
    """Content of a JSON file, compressed or not.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            binary = stream.read(_MAX_BYTES + 1)
        if len(binary) > _MAX_BYTES:
            raise DataError(f"{str(file)!r} is JSON of more than {_MAX_BYTES:,} bytes.", fix="write JSON Lines.")
        return json.loads(binary.decode("utf-8-sig"))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"{str(file)!r} is no readable JSON: {error}.", fix="save it as UTF-8 JSON.") from error


def json_object(text: str, *, where: str) -> dict[str, Any] | Fault:
    """One JSON object; a broken line is a fault of its own and says nothing of the others.

    Raises:
        DataError: It has a key twice, as then all lines of a file will.
    """
    try:
        row = json.loads(text, object_pairs_hook=_once)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error.msg
        return Fault(f"not JSON ({reason})")
    except ValueError as error:
        raise DataError(f"{where}: {error}.", fix="write one object per line, each key once.") from error
    return row if isinstance(row, dict) else Fault("not a JSON object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return row
