"""What is known of files from earlier indexes: which need not be embedded again, were moved, or are gone.

Shapes: N entries.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.index.content import WHOLE, content_id
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.rows import Shards

if TYPE_CHECKING:
    import pyarrow as pa


def rebased(table: pa.Table, before: Path, now: Path) -> pa.Table:
    """A table of files below one folder, as files below another; those that are not below that are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if before == now:
        return table
    paths = table["path"]
    if before.is_relative_to(now):
        prefix = os.fsencode(before.relative_to(now).as_posix() + "/")
        changed = pc.binary_join_element_wise(pa.scalar(prefix, pa.binary()), paths, pa.scalar(b"", pa.binary()))
    elif now.is_relative_to(before):
        prefix = os.fsencode(now.relative_to(before).as_posix() + "/")
        table = table.filter(pc.starts_with(paths, prefix))
        changed = pc.binary_slice(table["path"], len(prefix))
    else:
        return table.slice(0, 0)
    return table.set_column(0, table.schema.field("path"), changed)


@dataclass(frozen=True)
class _File:
    """Where a file's entries are, and as what it is known."""

    start: int
    stop: int
    size: int
    mtime: float
    content: bytes


class KnownFiles:
    """Files of earlier indexes, each with what it was like.

    Args:
        shards: Of earlier indexes, as files below the folder of the index that is being made; of a file that is in
            several, the last counts.
        merged: Names of those of which all is kept that was not found otherwise.

    Attributes:
        kept: Entries that go into the new index, [N].
        moved: What their files are like now, where they were moved or touched: path, size and time, by place.
    """

    def __init__(self, shards: Shards, *, merged: Sequence[str] = ()) -> None:
        self.shards = shards
        self.kept: NDArray[np.bool_] = np.zeros(len(shards), dtype=bool)
        self.moved: dict[int, Entry] = {}
        self._files: dict[bytes, _File] = {}
        self._merged: NDArray[np.bool_] = np.zeros(len(shards), dtype=bool)
        for name in merged:
            start = shards.start_of(name)
            self._merged[start : start + len(shards.tables[name])] = True
        if not len(shards):
            return
        borders = set(shards.starts)
        paths, sizes, times, contents = (shards.column(one).to_pylist() for one in ("path", "size", "mtime", "content"))
        start = 0
        for stop in range(1, len(paths) + 1):
            if stop in borders or paths[stop] != paths[start]:
                self._files[paths[start]] = _File(start, stop, sizes[start], times[start], contents[start])
                start = stop

    def take(
        self, found: Iterable[Entry], *, folder: Path, as_known: Set[str] = frozenset()
    ) -> tuple[list[Entry], int]:
        """Take over what has not changed, and what was only moved or touched: that has the same content.

        Args:
            found: All files that the index is to hold, as they are now.
            folder: Of the index.
            as_known: Paths of those that are taken over, whatever is known of their size and time.

        Returns:
            Those that must be embedded, and how many were taken over as they were.
        """
        left, new = dict(self._files), []
        unchanged = 0
        for now in found:
            known = left.get(os.fsencode(now.path))
            same = known is not None and now.mtime and (known.size, known.mtime) == (now.size, now.mtime)
            if known is not None and (same or now.path in as_known):
                del left[os.fsencode(now.path)]
                self.kept[known.start : known.stop] = True
                unchanged += 1
            else:
                new.append(now)
        there = {os.fsencode(one.path) for one in new}
        for path, known in list(left.items()):
            if self._merged[known.start] and path not in there:
                self.kept[known.start : known.stop] = True
                del left[path]
        return self._without_moved(new, left, folder=folder), unchanged

    def _without_moved(self, new: list[Entry], left: dict[bytes, _File], *, folder: Path) -> list[Entry]:
        by_size: dict[int, dict[bytes, list[_File]]] = defaultdict(lambda: defaultdict(list))
        for known in left.values():
            if known.content:
                by_size[known.size][known.content].append(known)
        rest = []
        for now in new:
            same_size = by_size.get(now.size)
            content = os.fsencode(content_id(folder / now.path, size=now.size)) if same_size and now.mtime else b""
            if not same_size or not same_size.get(content):
                rest.append(now)
                continue
            known = same_size[content].pop()
            if now.size > WHOLE and known.mtime != now.mtime:  # not all of it was looked at
                rest.append(now)
                continue
            self.kept[known.start : known.stop] = True
            self.moved |= dict.fromkeys(range(known.start, known.stop), now)
        return rest

    def gone(self, found: Iterable[Entry]) -> int:
        """Files that are neither among those that were found nor known elsewhere."""
        there = {os.fsencode(one.path) for one in found}
        return sum(not self.kept[one.start] for path, one in self._files.items() if path not in there)
