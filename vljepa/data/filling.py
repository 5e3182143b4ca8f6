"""Filling a store of rows: by one process, or by all processes of a run, each its share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from vljepa.data.long_work import long_work
from vljepa.data.processes import any_process, process_count, process_number
from vljepa.data.store import Row, RowStore

JobT = TypeVar("JobT")
Encoded = tuple[int, str, Row]
"""A row with its key; the number is equal for rows of equal shapes, which come one after the other."""


def fill_together(
    store: RowStore,
    jobs: Sequence[JobT],
    *,
    content: Callable[[JobT], str],
    is_missing: Callable[[JobT], bool],
    encode: Callable[[Sequence[JobT]], Iterator[Encoded]],
    rows_per_file: int = 2000,
    after_round: Callable[[], None] = lambda: None,
) -> None:
    """Encode what a store lacks; all processes must call this together, each does its share and waits for the others.

    Shares go by the hash of the content, not by the place in a list: a store that others are filling already looks
    different to each process. Where the processes of a run have no disk in common, those of a machine share what is
    still missing there, and at last each encodes by itself what it lacks.

    Args:
        store: To be filled.
        jobs: What it should have, the same in all processes.
        content: What is encoded for a job, as text.
        is_missing: Whether a job is still to be done.
        encode: Rows of some jobs.
        rows_per_file: As for `RowStore.append`.
        after_round: Called when all processes are through their shares.

    Raises:
        DataError: The disk is full, or another process has failed or died; the rows that are there are kept.
    """
    for number, count in _shares():
        with long_work(f"filling the cache {str(store.folder)!r}") as peers:
            mine = [job for job in jobs if is_missing(job) and _place(content(job), count) == number]
            for _, alike in groupby(peers.while_well(encode(mine)), key=lambda encoded: encoded[0]):
                store.append(((key, row) for _, key, row in alike), rows_per_file=rows_per_file)
        store.refresh()
        after_round()
        if not any_process(any(map(is_missing, jobs))):
            return


def _shares() -> list[tuple[int, int]]:
    """Number of this process and count of those that share, round by round."""
    if process_count() == 1:
        return [(0, 1)]
    local = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return [(process_number(), process_count()), local, (0, 1)]


def _place(content: str, count: int) -> int:
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "little") % count
