"""Parquet files; images in them are paths, bytes, or Hugging Face's pairs of bytes and path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vljepa.data.formats.conversations import turns_of
from vljepa.data.formats.names import check_once
from vljepa.data.formats.registry import Format, Found, Item, Numbered
from vljepa.data.stored import Cell
from vljepa.errors import DataError

_AT_ONCE = 1024


def recognises(place: Path, split: str | None) -> Found | None:
    """A .parquet file."""
    is_one = place.suffix.lower() == ".parquet" and place.is_file()
    return Found("parquet", place, split=split) if is_one else None


def parquet_rows(found: Found) -> Numbered:
    """Rows of a Parquet file; class labels by the names that `datasets` wrote into its schema.

    Raises:
        DataError: No Parquet, or a column name twice.
    """
    import pyarrow as pa

    file = found.path
    try:
        yield from _rows(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} is no readable Parquet file: {error}.", fix="write it again.") from error


def _rows(file: Path) -> Iterator[tuple[int, Item]]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    schema = table.schema_arrow
    check_once(schema.names, where=file)
    names_of = label_names((schema.metadata or {}).get(b"huggingface", b""))
    stored = [field.name for field in schema if _holds_bytes(field.type)]
    plain = [field.name for field in schema if field.name not in stored]
    number = 0
    for batch in table.iter_batches(_AT_ONCE, columns=plain or stored[:1]):
        rows = batch.to_pylist() if plain else [{}] * len(batch)
        for row in rows:
            number += 1
            named = {name: name_of(row[name]) for name, name_of in names_of.items() if name in row}
            cells = {name: Cell(str(file), name, number - 1) for name in stored}
            yield from ((number, item) for item in turns_of({**row, **named, **cells}))


def label_names(metadata: bytes) -> dict[str, Callable[[Any], Any]]:
    """What turns the numbers of a column of class labels into their names, by column, from `datasets`' own metadata."""
    try:
        features = json.loads(metadata)["info"]["features"]
        labels = {str(column): _names_in(feature) for column, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {column: _namer(names) for column, names in labels.items() if names}


def _names_in(feature: Any) -> list[str]:
    """Names of a class label, or of a list of them; empty for anything else."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names_in(feature[0])
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return _names_in(feature["feature"]) if "feature" in feature else []


def _namer(names: list[str]) -> Callable[[Any], Any]:
    def name_of(value: Any) -> Any:
        if isinstance(value, list):
            return [name_of(one) for one in value]
        if isinstance(value, int):  # -1 is how `datasets` says that there is no label
            return names[value] if 0 <= value < len(names) else None
        return value

    return name_of


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


PARQUET = Format("parquet", recognises, parquet_rows)
