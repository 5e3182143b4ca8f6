"""Tables: CSV, TSV, JSON Lines, Parquet, and plain lines of text."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vljepa.data.stored import Cell
from vljepa.errors import DataError

TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
_AT_ONCE = 1024


def table_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a table, with their numbers from 1.

    CSV and TSV have a header line, JSONL an object per line, .txt a text per line. Pictures in a Parquet file are
    paths, bytes, or Hugging Face's pairs of bytes and path.

    Raises:
        DataError: The file is not what its name says.
    """
    if file.suffix == ".parquet":
        yield from _parquet_rows(file)
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix in {".csv", ".tsv"}:
                table = csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",")
                yield from ((number, dict(row)) for number, row in enumerate(table, start=1))
                return
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, {"text": line} if file.suffix == ".txt" else _json_object(line, file, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}.", fix="save it as UTF-8 text.") from error


def _json_object(line: str, file: Path, number: int) -> dict[str, Any]:
    fix = "write one object per line."
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise DataError(f"{file}, row {number}: not JSON ({reason}).", fix=fix) from error
    if not isinstance(row, dict):
        raise DataError(f"{file}, row {number}: not a JSON object.", fix=fix)
    return row


def _parquet_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        stored = [field.name for field in table.schema_arrow if _holds_bytes(field.type)]
        plain = [field.name for field in table.schema_arrow if field.name not in stored]
        number = 0
        for batch in table.iter_batches(_AT_ONCE, columns=plain or stored[:1]):
            rows = batch.to_pylist() if plain else [{}] * len(batch)
            for row in rows:
                number += 1
                yield number, {**row, **{name: Cell(str(file), name, number - 1) for name in stored}}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} is no readable Parquet file: {error}.", fix="write it again.") from error


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
