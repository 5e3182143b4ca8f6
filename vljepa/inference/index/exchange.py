"""An index as plain files for other programs, and back: `rows.npy`, `rows.parquet`, and a sidecar with their model.

Shapes: N entries, D width of the shared space.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vljepa.data.whole_file import replace_file
from vljepa.errors import DataError
from vljepa.inference.embedded import Rows
from vljepa.inference.index.entry import Header
from vljepa.inference.index.manifest import header_of_values, is_index, read_manifest
from vljepa.inference.index.qdrant import read_qdrant
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.settle import LARGE
from vljepa.inference.index.shard import check_entries, damaged, schema, unwritable

if TYPE_CHECKING:
    import pyarrow as pa

SIDECAR, ROWS, COLUMNS = "rows.json", "rows.npy", "rows.parquet"
NPY, QDRANT = "npy", "qdrant"
_FORMAT, _VERSION = "vljepa-rows", 1
_UNIT = 1e-3
"""By how much the length of a row may differ from 1."""


def write_npy(entries: Shards, header: Header, folder: Path) -> None:
    """Write the rows of an index as `rows.npy` [N, D] float32, and what they are of, in the same order, as Parquet.

    Args:
        entries: Of the index; they are never all in memory.
        header: Of the index.
        folder: New or empty.

    Raises:
        DataError: It cannot be written.
    """
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        tables = _readable([one.drop_columns(["row"]) for one in entries.tables.values()])
        about = {"descr": "<f4", "fortran_order": False, "shape": (len(entries), header.width)}
        with (folder / ROWS).open("wb") as stream:  # not mapped: a disk that is full kills who writes into a mapping
            np.lib.format.write_array_header_2_0(stream, about)
            for block in entries.blocks:
                np.ascontiguousarray(block, dtype="<f4").tofile(stream)
        with pq.ParquetWriter(folder / COLUMNS, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error
    write_sidecar(folder, header, form=NPY, count=len(entries))


def write_sidecar(folder: Path, header: Header, *, form: str, count: int) -> None:
    """Say what model's rows these are; written last, so that a folder without it is none."""
    about = {"format": _FORMAT, "version": _VERSION, "form": form, "rows": count, "header": asdict(header)}
    try:
        replace_file(folder / SIDECAR, json.dumps(about, indent=1).encode())
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error


def holds_rows(folder: str | Path) -> bool:
    """Whether a folder is an index, or one that `vljepa export` has made of one."""
    if is_index(folder):
        return True
    try:
        return (Path(folder) / SIDECAR).is_file() and _sidecar(Path(folder))["format"] == _FORMAT
    except (DataError, KeyError):
        return False


def read_header(folder: Path) -> Header:
    """What an index, or what was exported of one, says about itself.

    Raises:
        DataError: It is neither, or damaged.
    """
    return read_manifest(folder).header if is_index(folder) else _about(folder)[0]


def read_rows(folder: Path) -> tuple[Header, Shards]:
    """The entries of an index, or of what was exported of one.

    Raises:
        DataError: It is neither, or damaged.
    """
    if is_index(folder):
        manifest = read_manifest(folder)
        return manifest.header, Shards.open(folder, manifest.shards, width=manifest.header.width)
    import pyarrow as pa

    header, form, count = _about(folder)
    parts = _read_npy(folder, header.width) if form == NPY else read_qdrant(folder, header.width)
    found = {}
    for number, table in enumerate(_whole_files(parts)):
        try:
            check_entries(table, folder / SIDECAR)
        except pa.ArrowException as error:
            raise damaged(folder / SIDECAR, str(error).partition("\n")[0]) from error
        found[f"{number}"] = table
    entries = Shards(found)
    if len(entries) != count:
        raise damaged(folder / SIDECAR, f"it lists {count} rows, and there are {len(entries)}")
    for block in entries.blocks:
        if not (np.abs(np.linalg.norm(block, axis=1) - 1) < _UNIT).all():
            raise damaged(folder / SIDECAR, "there are rows that are not of unit length, which no model of ours makes")
    return header, entries


def _whole_files(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, cut where the path changes: the segments of a video stay together."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for part in parts:
        if not len(part):
            continue
        paths = part["path"].to_pylist()
        first = next((row for row, path in enumerate(paths) if path != paths[-1]), None)
        if held and held[0]["path"][0].as_py() != paths[0]:
            yield pa.concat_tables(held).combine_chunks()
            held = []
        if first is None:  # one file alone, which may go on
            held.append(part)
            continue
        last = len(paths) - next(row for row, path in enumerate(reversed(paths)) if path != paths[-1])
        yield pa.concat_tables([*held, part.slice(0, last)]).combine_chunks()
        held = [part.slice(last)]
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _read_npy(folder: Path, width: int) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        whole: Rows = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
        columns = pq.read_table(folder / COLUMNS)
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise damaged(folder / ROWS, str(error).partition("\n")[0]) from error
    if whole.dtype != np.float32 or whole.shape != (len(columns), width):
        raise damaged(folder / ROWS, f"it is {whole.dtype} {list(whole.shape)}, not float32 [{len(columns)}, {width}]")
    kept = schema(width)
    names = [name for name in kept.names if name != "row"]
    for start in range(0, len(columns), LARGE):
        part = columns.slice(start, LARGE)
        flat = np.ascontiguousarray(whole[start : start + LARGE]).reshape(-1)
        try:
            found = {name: part[name].cast(kept.field(name).type) for name in names}
            yield pa.table({**found, "row": pa.FixedSizeListArray.from_arrays(flat, width)}, schema=kept)
        except (KeyError, ValueError, pa.ArrowException) as error:
            raise damaged(folder / COLUMNS, str(error).partition("\n")[0]) from error


def _readable(tables: list[pa.Table]) -> list[pa.Table]:
    """Paths and hashes as text, where those of all tables are Unicode."""
    import pyarrow as pa

    for name in ("path", "content"):
        with suppress(pa.ArrowInvalid):
            place = tables[0].schema.get_field_index(name)
            tables = [one.set_column(place, name, one[name].cast(pa.string())) for one in tables]
    return tables


def _about(folder: Path) -> tuple[Header, str, int]:
    found, file = _sidecar(folder), folder / SIDECAR
    try:
        if (found["format"], found["version"]) != (_FORMAT, _VERSION) or found["form"] not in (NPY, QDRANT):
            raise ValueError(f"format {found['format']!r}, version {found['version']!r}, {found['form']!r}")
        return header_of_values(found["header"]), found["form"], int(found["rows"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from error


def _sidecar(folder: Path) -> dict[str, Any]:
    file = folder / SIDECAR
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from error
    if not isinstance(found, dict):
        raise damaged(file, "it is no listing")
    return cast("dict[str, Any]", found)
