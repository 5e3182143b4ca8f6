"""From what earlier indexes have and what was embedded now to the shards of an index.

A shard that stays as it is is not written again; small ones become one, sorted by path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.index.entry import Entry
from vljepa.inference.index.known import KnownFiles
from vljepa.inference.index.shard import SUFFIX, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

Store = Callable[[str, "pa.Table"], "pa.Table"]
"""Keeps a shard under its name, and gives it as it is kept."""
_PLAIN = re.compile(r"[0-9a-f]+\.arrow")
"""Name of a settled shard; others are of units, or of files that are elsewhere now."""
SMALL, LARGE = 32_768, 65_536
"""Rows under which a shard is put together with others, and of a shard that is."""


def settle(known: KnownFiles, new: Iterable[pa.Table], *, store: Store) -> dict[str, pa.Table]:
    """The shards of the new index, by name.

    Args:
        known: Earlier indexes, and what of them is kept.
        new: Tables of units, one after the other; no more of them are held than make a shard.
        store: As of `Store`.
    """
    settled: dict[str, pa.Table] = {}
    loose: list[tuple[pa.Table, dict[int, Entry], NDArray[np.bool_]]] = []
    for name, table in known.shards.tables.items():
        start = known.shards.start_of(name)
        kept = known.kept[start : start + len(table)]
        moved = {place - start: now for place, now in known.moved.items() if start <= place < start + len(table)}
        if len(table) >= SMALL and kept.all() and not moved:
            name = name if _PLAIN.fullmatch(name) else name_of(table)
            settled[name] = store(name, table)
        elif kept.any():
            loose.append((table, moved, kept))
    left = (_moved(table, moved).filter(kept) for table, moved, kept in loose)  # copied one at a time
    for group in _groups(chain(left, new)):
        table = _sorted(group)
        name = name_of(table)
        settled[name] = store(name, table)
    return settled


def _groups(tables: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        if len(table):
            held.append(table)
            count += len(table)
        if count >= LARGE:
            yield held
            held, count = [], 0
    if held:
        yield held


def _sorted(tables: list[pa.Table]) -> pa.Table:
    """One table, sorted by path and time."""
    import pyarrow as pa

    whole = pa.concat_tables([one.replace_schema_metadata(None) for one in tables])
    return whole.sort_by([("path", "ascending"), ("start", "ascending")]).combine_chunks()


def _moved(table: pa.Table, moved: dict[int, Entry]) -> pa.Table:
    """A table in which some files are elsewhere now, or have another time."""
    import pyarrow as pa

    if not moved:
        return table
    path, mtime = (table[name].to_pylist() for name in ("path", "mtime"))
    for place, now in moved.items():
        path[place], mtime[place] = os.fsencode(now.path), now.mtime
    for number, name, column in ((0, "path", path), (2, "mtime", mtime)):
        field = table.schema.field(name)
        table = table.set_column(number, field, pa.array(column, field.type))
    return table


def name_of(table: pa.Table) -> str:
    """Name of a settled shard: of what is in it, so that what is written already is not written again."""
    found = blake2b(rows_of(table).data, digest_size=16)
    for name in ("path", "size", "mtime", "content", "start", "end", "time"):
        found.update(repr(table[name].to_pylist()).encode())
    return found.hexdigest() + SUFFIX
