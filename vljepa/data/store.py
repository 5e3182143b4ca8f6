"""Append-only store of fixed-size rows under text keys: Arrow IPC files, memory-mapped, read without copying.

A store is a folder with a `manifest.json`, which says what the rows are, and files of rows. Each file appears whole
or not at all, so an interrupted writer loses at most the file that it was writing, and goes on from there.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import DataError

MANIFEST = "manifest.json"
ROWS_PER_BATCH = 50
"""Measured best for random reads of rows of tens of kilobytes: one memory map touches few pages beside the row."""

Row = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Place:
    batch: Row
    offset: int


class RowStore:
    """Rows of arrays by key; all rows of one `append` have the same fields, shapes and dtypes.

    Args:
        folder: Where the store lives; made when absent.
        identity: What the rows depend on. A folder that was made with another identity is refused.

    Raises:
        DataError: The folder holds a store with another identity, or files that are damaged.

    Example:
        >>> import tempfile
        >>> store = RowStore(Path(tempfile.mkdtemp()), identity={"encoder": "a"})
        >>> store.append([("x", {"value": np.arange(3, dtype=np.float16)})])
        >>> store.row("x")["value"].tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(self, folder: Path, *, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        self._mapped: set[Path] = set()
        self._check_identity(dict(identity))
        self.refresh()

    def __contains__(self, key: str) -> bool:
        """Whether there is a row under this key."""
        return key in self._places

    def row(self, key: str) -> Row:
        """One row, as read-only views into the memory map."""
        place = self._places[key]
        return {name: values[place.offset] for name, values in place.batch.items()}

    def refresh(self) -> None:
        """Find the rows that other processes have written since.

        Raises:
            DataError: A file is damaged.
        """
        for file in sorted(set(self.folder.glob("*.arrow")) - self._mapped):
            self._map(file)

    def append(self, rows: Iterable[tuple[str, Row]], *, rows_per_file: int = 2000) -> None:
        """Write new rows, file by file as they come; the rows of a finished file survive an interruption.

        Raises:
            DataError: The disk is full or may not be written.
        """
        iterator = iter(rows)
        while True:
            chunk = islice(iterator, rows_per_file)
            first = next(chunk, None)
            if first is None:
                return
            self._map(self._write(first, chunk))

    def _write(self, first: tuple[str, Row], others: Iterator[tuple[str, Row]]) -> Path:
        import pyarrow as pa

        fields = [_arrow_field(name, array) for name, array in first[1].items()]
        schema = pa.schema([pa.field("key", pa.string()), *fields])
        final = self.folder / f"{uuid.uuid4().hex}.arrow"
        half = final.with_suffix(".part")
        try:
            with half.open("wb") as file:
                with pa.ipc.new_file(file, schema) as writer:
                    batch = [first, *islice(others, ROWS_PER_BATCH - 1)]
                    while batch:
                        writer.write_batch(_record_batch(batch, schema))
                        batch = list(islice(others, ROWS_PER_BATCH))
                file.flush()
                os.fsync(file.fileno())
            half.replace(final)
        except OSError as error:
            raise DataError(
                f"cannot write the cache {str(self.folder)!r}: {error}.",
                fix="free some space, or set data.cache.folder to another disk.",
            ) from error
        finally:
            half.unlink(missing_ok=True)
        return final

    def _map(self, file: Path) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(file)))
            shapes = {field.name: json.loads(field.metadata[b"shape"]) for field in reader.schema if field.metadata}
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                arrays = {name: _numpy(batch.column(name), shape) for name, shape in shapes.items()}
                for offset, key in enumerate(batch.column("key").to_pylist()):
                    self._places[key] = _Place(arrays, offset)
            self._mapped.add(file)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"the cache file {str(file)!r} is damaged: {error}.", fix="delete it.") from error

    def _check_identity(self, identity: dict[str, Any]) -> None:
        path = self.folder / MANIFEST
        fix = f"delete the folder {str(self.folder)!r}, or set data.cache.folder to another one."
        if not path.is_file():
            _write_manifest(path, identity)
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{str(path)!r} is not JSON: {error}.", fix=fix) from error
        for key in sorted(identity.keys() | found.keys()):
            if found.get(key) != identity.get(key):
                raise DataError(
                    f"the cache {str(self.folder)!r} was made with {key} = {found.get(key)!r}, "
                    f"this run has {identity.get(key)!r}.",
                    fix=fix,
                )


def _write_manifest(path: Path, identity: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{uuid.uuid4().hex}")
        half.write_text(json.dumps(identity, indent=2, sort_keys=True), encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise DataError(
            f"cannot write the cache {str(path.parent)!r}: {error}.", fix="set data.cache.folder to a writable place."
        ) from error


def _arrow_field(name: str, array: NDArray[Any]) -> Any:
    import pyarrow as pa

    element = pa.from_numpy_dtype(array.dtype)
    return pa.field(name, pa.list_(element, array.size), metadata={"shape": json.dumps(array.shape)})


def _record_batch(rows: list[tuple[str, Row]], schema: Any) -> Any:
    import pyarrow as pa

    columns = [pa.array([key for key, _ in rows], pa.string())]
    for field in schema:
        if field.name != "key":
            flat = np.concatenate([np.ascontiguousarray(row[field.name]).ravel() for _, row in rows])
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), field.type.list_size))
    return pa.record_batch(columns, schema=schema)


def _numpy(column: Any, shape: list[int]) -> NDArray[Any]:
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(len(column), *shape)
