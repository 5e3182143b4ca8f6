"""The images and segments of an index as one, wherever they are: a list of shards, mapped into memory.

Shapes: N entries of all shards, n of one, D width of the shared space.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import DataError
from vljepa.inference.embedded import Rows
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.manifest import MANIFEST, SHARDS
from vljepa.inference.index.products import inner_products
from vljepa.inference.index.shard import damaged, entries_of, entry_at, open_table, rows_of

if TYPE_CHECKING:
    import pyarrow as pa


OUT = -2.0
"""Instead of the cosine of what must not be found."""


def open_shard(folder: Path, name: str, count: int, *, width: int) -> pa.Table:
    """One shard of an index's folder.

    Raises:
        DataError: It is missing, damaged, or of another length.
    """
    file = folder / SHARDS / name
    table = open_table(file, width=width)
    if len(table) != count:
        raise damaged(file, f"it has {len(table)} rows, and {count} are listed")
    return table


_FEW = 64
"""Rows that are copied one by one more quickly than shard by shard."""


class Counts(NamedTuple):
    """What an index holds."""

    images: int
    videos: int
    segments: int


class Shards(Sequence[Entry]):
    """The entries of several shards in a row, and their embeddings.

    Args:
        tables: As of `open_table` or `table_of`, by name, in order.

    Attributes:
        tables: The same.
        blocks: Embeddings [n, D] of each.
    """

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self.tables = dict(tables)
        self.blocks: list[Rows] = [rows_of(one) for one in self.tables.values()]
        self.starts = [0, *accumulate(map(len, self.blocks))]

    @classmethod
    def open(cls, folder: Path, counts: Mapping[str, int], *, width: int) -> Shards:
        """Those of an index's folder.

        Args:
            folder: Of the index.
            counts: How many rows each has, by name.
            width: Of a row.

        Raises:
            DataError: One is missing, damaged, or of another length.
        """
        if not counts:
            raise damaged(folder / MANIFEST, "it lists no shards")
        return cls({name: open_shard(folder, name, count, width=width) for name, count in counts.items()})

    @classmethod
    def sound(cls, folder: Path, counts: Mapping[str, int], *, width: int) -> Shards:
        """Those of an index's folder that are sound; the others are left out."""
        tables = {}
        for name, count in counts.items():
            with suppress(DataError):
                tables[name] = open_shard(folder, name, count, width=width)
        return cls(tables)

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        number = bisect_right(self.starts, place) - 1
        return entry_at(list(self.tables.values())[number], place - self.starts[number])

    def __iter__(self) -> Iterator[Entry]:
        for table in self.tables.values():
            yield from entries_of(table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shards) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def start_of(self, name: str) -> int:
        """Place of a shard's first entry."""
        return self.starts[list(self.tables).index(name)]

    def counts(self) -> dict[str, int]:
        """How many rows each shard has, by name."""
        return {name: len(table) for name, table in self.tables.items()}

    def count_media(self) -> Counts:
        """How many images, videos and segments of videos there are."""
        import pyarrow.compute as pc

        if not len(self):
            return Counts(images=0, videos=0, segments=0)
        still = pc.is_null(self.column("start"))
        segments = len(self) - pc.sum(still).as_py()
        videos = pc.count_distinct(self.column("path").filter(pc.invert(still))).as_py()
        return Counts(images=len(self) - segments, videos=videos, segments=segments)

    def column(self, name: str) -> pa.ChunkedArray:
        """One of the columns of `Entry`, N long."""
        import pyarrow as pa

        chunks = [chunk for table in self.tables.values() for chunk in table[name].chunks]
        return pa.chunked_array(chunks, type=next(iter(self.tables.values())).schema.field(name).type)

    def take(self, name: str, places: NDArray[np.integer]) -> pa.Array:
        """One of the columns of `Entry`, of some entries: [len(places)]."""
        import pyarrow as pa

        numbers = np.searchsorted(self.starts, places, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        tables = list(self.tables.values())
        parts = [
            tables[number][name].combine_chunks().take(pa.array(places[numbers == number] - self.starts[number]))
            for number in np.unique(numbers)
        ]
        found = pa.concat_arrays(parts) if parts else pa.array([], tables[0].schema.field(name).type)
        return found.take(pa.array(np.argsort(order)))

    def paths(self, mask: NDArray[np.bool_]) -> list[str]:
        """Files of the entries in a mask [N], each once."""
        import pyarrow.compute as pc

        return [os.fsdecode(one) for one in pc.unique(self.column("path").filter(mask)).to_pylist()]

    def rows(self, places: NDArray[np.integer]) -> Rows:
        """Embeddings [len(places), D] of some entries, copied."""
        numbers = np.searchsorted(self.starts, places, side="right") - 1
        found: Rows = np.empty((len(places), self.blocks[0].shape[1]), dtype=np.float32)
        if len(places) <= _FEW:
            for at, (number, place) in enumerate(zip(numbers.tolist(), places.tolist(), strict=True)):
                found[at] = self.blocks[number][place - self.starts[number]]
            return found
        for number in np.unique(numbers):
            chosen = numbers == number
            found[chosen] = self.blocks[number][places[chosen] - self.starts[number]]
        return found

    def scores(self, query: Rows, *, mask: NDArray[np.bool_] | None = None) -> Rows:
        """Cosine of a query [D] and every row, [N]; `OUT` for what is no number, and outside of the mask [N]."""
        found = np.full(len(self), OUT, dtype=np.float32)
        for start, block in zip(self.starts, self.blocks, strict=False):
            own = found[start : start + len(block)]
            wanted = None if mask is None else np.flatnonzero(mask[start : start + len(block)])
            if wanted is None:
                inner_products(block, query, out=own)
            elif len(wanted) < len(block) / 4:
                own[wanted] = np.einsum("nd,d->n", block[wanted], query)
            else:
                whole: Rows = np.empty(len(block), dtype=np.float32)
                inner_products(block, query, out=whole)
                own[wanted] = whole[wanted]
        if not np.isfinite(found).all():
            np.nan_to_num(found, copy=False, nan=OUT, posinf=OUT, neginf=OUT)
        return found
