"""A source that is never whole on this machine: its shards come one after the other, and go when they have been read.

Batches stay a pure function of (seed, step). An epoch goes through the shards in an order of its own and through the
rows of each in one of its own; where in that a position lies follows from the numbers of rows of the shards before,
which are written down when each is first fetched. So a run that goes on fetches the shard in hand once more and none
before it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from vljepa.configs import SourceConfig
from vljepa.data.records import Record
from vljepa.data.sampling import row_order
from vljepa.data.shards import SHARD_FILES, fetch_shard, shard_addresses, shard_kind, shown
from vljepa.data.sources import Texts, load_source
from vljepa.data.whole_file import replace_file
from vljepa.errors import DataError

_ORDERS = 8
"""Orders of rows and of shards that are kept."""
_AHEAD = 2
"""Further shards that another process may be ahead, which is not to lose its files."""


class ShardStream:
    """Records by their position in an endless order over all shards.

    Args:
        source: With an address as its `path`, such as `https://host/train-{000..123}.tar`.
        number: Of the source among those of the run; orders differ by it.
        seed: Of the run.
        folder: Where the shards in hand lie, and the numbers of rows of all that have been fetched. No other stream may
            use it, but for those of the same source in other processes of the run.
        root: As for `load_source`.
        reach: Positions that may lie between what two processes read at a time: shards as near are kept.
        texts: As for `load_source`.
        max_skipped: Share of a shard's rows without a usable text that is tolerated.

    Raises:
        DataError: The address is of no known kind.

    Example:
        >>> source = SourceConfig(name="web", path="https://host/train-{000..123}.tar")
        >>> stream = ShardStream(source, number=0, seed=0, folder=Path("cache/shards"), root=".", reach=1024)
        >>> stream[0]  # doctest: +SKIP
        Record(image=TarMember(...), texts=('a cat on a sofa',), ...)
    """

    def __init__(
        self,
        source: SourceConfig,
        *,
        number: int,
        seed: int,
        folder: Path,
        root: str | Path,
        reach: int,
        texts: Texts = "required",
        max_skipped: float = 0.01,
    ) -> None:
        self.source = source
        self.addresses = shard_addresses(source.path)
        self._numbers = {address: place for place, address in enumerate(self.addresses)}
        self._key = (seed, number)
        self._folder = folder
        self._root = root
        self._reach = reach
        self._texts: Texts = texts
        self._max_skipped = max_skipped
        self._ends: list[int] = []  # position after each visit to a shard, as far as is known, over all epochs
        self._open: dict[str, list[Record]] = {}
        self._dropped = 0  # visits whose shards are gone
        self._orders: dict[int, NDArray[np.int64]] = {}  # of the last few visits and epochs

    def __getitem__(self, position: int) -> Record:
        """Record at a position of the order; fetches its shard, and the rows of shards before that are not known.

        Raises:
            DataError: A shard cannot be fetched or read, or has another number of rows than before.
        """
        visit = self._visit(position)
        records = self._records(visit)
        start = self._ends[visit - 1] if visit > 0 else 0
        place = self._order(2 * visit, len(records))[position - start]
        self._drop_before(position, visit)
        return records[int(place)]

    def where(self, position: int) -> str:
        """In words: the shard that a position lies in, fetched if it is not there."""
        visit = self._visit(position)
        self._records(visit)
        epoch, place = divmod(visit, len(self.addresses))
        return f"shard {place + 1} of {len(self.addresses)} in epoch {epoch} ({shown(self._address(visit))})"

    def rows(self, positions: int) -> int:
        """Different rows of the shards that so many positions lie in."""
        visit = self._visit(positions - 1)
        return self._ends[min(visit, len(self.addresses) - 1)]

    def close(self) -> None:
        """Delete the shards in hand, at the end of a run; the numbers of rows stay."""
        for file in self._folder.glob("*"):
            if file.suffix in SHARD_FILES:
                file.unlink(missing_ok=True)
        self._open.clear()

    def _visit(self, position: int) -> int:
        """Running number, over all epochs, of the shard that a position lies in."""
        while not self._ends or position >= self._ends[-1]:
            visit, start = len(self._ends), self._ends[-1] if self._ends else 0
            count = self._count(self._address(visit))
            if count is None:
                count = len(self._records(visit))
                self._drop_before(start, visit)
            self._ends.append(start + count)
        return bisect_right(self._ends, position)

    def _address(self, visit: int) -> str:
        epoch, place = divmod(visit, len(self.addresses))
        # Odd numbers: the even ones are for the rows of the visits.
        return self.addresses[int(self._order(2 * epoch + 1, len(self.addresses))[place])]

    def _order(self, number: int, size: int) -> NDArray[np.int64]:
        """An order of its own for each number; of the last few that were asked for it is kept."""
        if number not in self._orders:
            if len(self._orders) >= _ORDERS:
                self._orders.pop(next(iter(self._orders)))
            self._orders[number] = row_order(*self._key, number, size)
        return self._orders[number]

    def _records(self, visit: int) -> list[Record]:
        address = self._address(visit)
        file = self._file(address)
        while address not in self._open or not file.is_file():
            fetch_shard(address, file)
            try:
                local = self.source.model_copy(update={"path": str(file.resolve())})
                records = load_source(local, root=self._root, texts=self._texts, max_skipped=self._max_skipped)
            except (DataError, OSError):
                if file.is_file():
                    raise
                continue  # a process that is ahead was done with it, and has deleted it
            self._write_down(address, len(records))
            self._open[address] = [_apart(record, file.stem) for record in records]
        return self._open[address]

    def _count(self, address: str) -> int | None:
        """Rows of a shard as they were written down; None when they were not, or the note is damaged."""
        try:
            return int(self._note(address).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def _write_down(self, address: str, count: int) -> None:
        note = self._note(address)
        with FileLock(f"{note}.lock"):
            before = self._count(address)
            if before is None:
                replace_file(note, str(count).encode("ascii"))
        if before not in (None, count):
            raise DataError(
                f"the shard {shown(address)!r} has {count} rows, and had {before} when it was fetched first.",
                fix=f"shards may not change during a run; for a new run remove {str(self._folder)!r}.",
            )

    def _file(self, address: str) -> Path:
        """Where a shard lies; by its number, for a signature in the address may be renewed."""
        return self._folder / f"{self._numbers[address]:06}{shard_kind(address)}"

    def _note(self, address: str) -> Path:
        return self._file(address).with_suffix(".rows")

    def _drop_before(self, position: int, visit: int) -> None:
        """Delete shards that no process can still be reading; those of the visits around this one stay."""
        oldest = bisect_right(self._ends, position - self._reach)
        if oldest <= self._dropped:
            return
        ahead = visit + (visit - oldest) + _AHEAD
        kept = {self._address(one) for one in range(oldest, ahead + 1)}
        for address in {self._address(one) for one in range(self._dropped, oldest)} - kept:
            self._open.pop(address, None)
            self._file(address).unlink(missing_ok=True)
        self._dropped = oldest


def _apart(record: Record, shard: str) -> Record:
    """A record whose number, if its image has no other identity, is not taken for that of another shard's image."""
    return replace(record, source_id=f"{shard}:{record.source_id}") if record.numbered else record
