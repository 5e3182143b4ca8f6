"""A shard of an index: an Arrow file of entries and their embeddings, written whole or not at all, read through a map.

Arrow's files hold data alone, so that reading one from a stranger runs no code; what is wrong in one is refused when it
is opened, but for values of embeddings, which are not looked at before a search is. Shapes: n rows of a shard, D width.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vljepa.errors import DataError
from vljepa.inference.embedded import Rows
from vljepa.inference.index.entry import Entry

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".arrow"
_ROW = "row"
_OUTSIDE = rb"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)" if os.name == "nt" else rb"^/|(^|/)\.\.(/|$)"
"""Paths that leave the indexed folder."""


def schema(width: int) -> pa.Schema:
    """Columns of a shard: those of `Entry`, and `row`, D float32 each. A path is bytes, as the file system has it."""
    import pyarrow as pa

    times = [pa.field(name, pa.float64()) for name in ("start", "end", "time")]
    known = [("path", pa.binary()), ("size", pa.int64()), ("mtime", pa.float64()), ("content", pa.binary())]
    whole = [pa.field(name, kind, nullable=False) for name, kind in known]
    return pa.schema([*whole, *times, pa.field(_ROW, pa.list_(pa.float32(), width), nullable=False)])


def table_of(entries: Sequence[Entry], rows: Rows) -> pa.Table:
    """Entries and their rows [n, D] as Arrow."""
    import pyarrow as pa

    width = rows.shape[1]
    flat = np.ascontiguousarray(rows, np.float32).reshape(-1)
    columns = {name: [getattr(one, name) for one in entries] for name in schema(width).names if name != _ROW}
    columns |= {"path": list(map(os.fsencode, columns["path"])), "content": list(map(str.encode, columns["content"]))}
    return pa.table({**columns, _ROW: pa.FixedSizeListArray.from_arrays(flat, width)}, schema=schema(width))


def write_table(table: pa.Table, file: Path) -> None:
    """Write a shard; the file is complete or not there.

    Raises:
        DataError: The place cannot be written.
    """
    import pyarrow as pa

    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as stream:
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table.combine_chunks(), max_chunksize=max(1, len(table)))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(file.parent, error.strerror or str(error)) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def open_table(file: Path, *, width: int | None = None) -> pa.Table:
    """Map a shard into memory; its rows are read when they are needed.

    Args:
        file: Which.
        width: Numbers of a row; None for what this process has just written.

    Raises:
        DataError: Not there, cut short, not a shard, or with entries that cannot be right.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
        if width is not None and table.schema != schema(width):
            raise damaged(file, f"its columns are {', '.join(table.schema.names)}")
        table = table.combine_chunks()
        table.validate(full=True)
        check_entries(table, file)
    except FileNotFoundError:
        raise damaged(file, "it is gone") from None
    except (OSError, pa.ArrowException, ValueError) as error:  # a name that is no Unicode
        raise damaged(file, str(error).partition("\n")[0]) from error
    return table


def rows_of(table: pa.Table) -> Rows:
    """Embeddings [n, D] of a shard, where they are; nothing is copied."""
    [chunk] = table[_ROW].chunks or [table[_ROW].combine_chunks()]
    rows: Rows = chunk.flatten().to_numpy(zero_copy_only=True).reshape(len(chunk), chunk.type.list_size)
    return rows


def entry_at(table: pa.Table, place: int) -> Entry:
    """One entry of a shard."""
    return _entry({name: table[name][place].as_py() for name in table.schema.names if name != _ROW})


def entries_of(table: pa.Table) -> list[Entry]:
    """All entries of a shard."""
    return [_entry(one) for one in table.drop_columns([_ROW]).to_pylist()]


def _entry(values: dict[str, Any]) -> Entry:
    return Entry(**values | {"path": os.fsdecode(values["path"]), "content": values["content"].decode("ascii")})


def check_entries(table: pa.Table, file: Path) -> None:
    """Refuse entries that cannot be right."""
    import pyarrow.compute as pc

    if any(table[name].null_count for name in table.schema.names if not table.schema.field(name).nullable):
        raise damaged(file, "there are holes in it")
    if table[_ROW].combine_chunks().flatten().null_count:
        raise damaged(file, "there are holes in its embeddings")
    outside = pc.match_substring_regex(table["path"], _OUTSIDE)
    if pc.any(outside).as_py():
        path = os.fsdecode(table["path"].filter(outside)[0].as_py())
        raise damaged(file, f"the path {path!r} leaves the indexed folder")
    if not pc.all(pc.string_is_ascii(table["content"].cast("string")), min_count=0).as_py():
        raise damaged(file, "a hash that is none")
    start, end, time = (table[name] for name in ("start", "end", "time"))
    images = pc.and_(pc.and_(pc.is_null(start), pc.is_null(end)), pc.is_null(time))
    in_order = pc.and_(pc.and_(pc.less_equal(0.0, start), pc.less_equal(start, time)), pc.less(time, end))
    sound = pc.and_(in_order, pc.is_finite(end))
    if not pc.all(pc.fill_null(pc.or_kleene(images, sound), False), min_count=0).as_py():
        raise damaged(file, "a segment that ends before it begins")


def unwritable(folder: Path, why: str) -> DataError:
    """Why an index cannot be written."""
    return DataError(
        f"the index cannot be written to {str(folder)!r}: {why}.",
        fix="name a folder that is an index, or a new one in a place with room and write permission.",
    )


def damaged(file: Path, what: str) -> DataError:
    """What is wrong with a file of an index."""
    return DataError(
        f"{str(file)!r} is not a sound part of an index: {what}.",
        fix="run `vljepa index PATH -o INDEX` again: what is lost, and no more, is embedded anew.",
    )
