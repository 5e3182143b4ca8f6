"""Two real processes fill one store: the quick one waits for the slow one, and neither for one that has died."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow  # noqa: F401  before the group is formed: it takes a second
import pytest

from tests.launching import COLLECTIVE, run_processes
from vljepa.data import long_work
from vljepa.data.filling import Encoded, fill_together
from vljepa.data.store import RowStore
from vljepa.errors import DataError

JOBS = [f"image {number}" for number in range(40)]
FAILED = 3
"""Exit code of a process that ends with an error of ours."""
SILENCE = 5.0
ENOUGH = 10
"""Rows of the one that works, before the other fails."""
ROWS = {"value": np.arange(4, dtype=np.float32)}


def fill(rank: int, folder: Path, trouble: str, rank_in_trouble: int) -> None:
    """Fill a store while one process is slow, fails, or is killed; the error of ours goes into a file."""
    long_work.BEAT, long_work.SILENCE = 0.1, SILENCE
    store = RowStore(folder / "store", identity={"format": 1})
    count = 0

    def encode(some: Sequence[str]) -> Iterator[Encoded]:
        nonlocal count
        for job in some:
            count += 1
            yield 0, job, ROWS
            if rank != rank_in_trouble and count == ENOUGH:
                (folder / "enough").touch()
            if rank == rank_in_trouble and count == 4:
                meet(trouble, folder)
        if rank != rank_in_trouble and trouble == "fails":  # work without an end: it has to be told
            yield from ((0, f"more {number}", ROWS) for number in itertools.count())

    try:
        fill_together(
            store,
            JOBS,
            content=lambda job: job,
            is_missing=lambda job: job not in store,
            encode=encode,
            rows_per_file=2 if trouble != "fails" else 10_000_000,
        )
    except DataError as error:
        (folder / f"{rank}.error").write_text(str(error), encoding="utf-8")
        (folder / f"{rank}.count").write_text(str(count), encoding="utf-8")
        sys.stdout.flush()
        os._exit(FAILED)
    (folder / f"{rank}.count").write_text(str(count), encoding="utf-8")


def meet(trouble: str, folder: Path) -> None:
    if trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "fails":
        while not (folder / "enough").exists():  # the other may be slow to begin
            time.sleep(0.01)
        raise DataError("7 of 8 images are unreadable.", fix="mend them.")
    end = time.monotonic() + 2 * COLLECTIVE.total_seconds()
    while time.monotonic() < end:  # an image that takes longer than any collective waits
        np.linalg.svd(np.random.default_rng(0).normal(size=(50, 50)))


def left(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def stored(folder: Path) -> set[str]:
    store = RowStore(folder / "store", identity={"format": 1})
    return {job for job in JOBS if job in store}


@pytest.mark.parametrize("rank", [0, 1])
def test_who_is_done_waits_for_longer_than_a_collective_does(tmp_path: Path, rank: int) -> None:
    assert run_processes(fill, tmp_path, "slow", rank) == [0, 0]
    assert stored(tmp_path) == set(JOBS)
    counts = [int(left(tmp_path, f"{one}.count")) for one in range(2)]
    assert sum(counts) == len(JOBS), "each its share, and nothing twice"
    assert min(counts) >= 10


def test_a_killed_process_does_not_keep_the_other_waiting(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run_processes(fill, tmp_path, "killed", 1) == [FAILED, -signal.SIGKILL]
    assert time.monotonic() - began < 60
    error = left(tmp_path, "0.error")
    assert "process 1 has died: nothing was heard of it for" in error
    assert "filling the cache" in error
    assert "run the same command again: what is done is kept" in error
    done = int(left(tmp_path, "0.count"))
    assert len(stored(tmp_path)) == done + 4, "the share of the other, and two files of the killed one"
    assert run_processes(fill, tmp_path, "none", -1) == [0, 0]
    assert stored(tmp_path) == set(JOBS)
    assert sum(int(left(tmp_path, f"{rank}.count")) for rank in range(2)) == len(JOBS) - done - 4


def test_the_process_that_others_meet_at_is_killed(tmp_path: Path) -> None:
    """The store of keys and values dies with it."""
    assert run_processes(fill, tmp_path, "killed", 0) == [-signal.SIGKILL, FAILED]
    assert "the process that the others meet at has ended while filling the cache" in left(tmp_path, "1.error")


def test_a_failing_process_stops_one_that_still_works(tmp_path: Path) -> None:
    """With its own words, and what the other one has done is kept."""
    assert run_processes(fill, tmp_path, "fails", 1) == [FAILED, FAILED]
    assert "process 1 failed while filling the cache" in left(tmp_path, "0.error")
    assert "7 of 8 images are unreadable. Fix:" in left(tmp_path, "0.error")
    assert left(tmp_path, "1.error").startswith("7 of 8 images are unreadable.")
    assert len(stored(tmp_path)) >= ENOUGH


def test_a_process_that_never_comes_is_named(tmp_path: Path) -> None:
    assert run_processes(stay_away, tmp_path) == [FAILED, 0]
    assert "process 1 has not begun" in left(tmp_path, "0.error")


def stay_away(rank: int, folder: Path) -> None:
    long_work.ABSENCE = 1.0
    if rank == 0:
        fill(rank, folder, "none", -1)
    while not (folder / "0.error").exists():
        time.sleep(0.05)
