"""The processes of a run: what they decide alike, and how they share work without one waiting long for another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

ROUND = 20.0
"""Seconds of shared work between two votes: far below any time limit of a process group."""

ItemT = TypeVar("ItemT")


def process_count() -> int:
    """Processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_number() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


def any_process(here: bool) -> bool:
    """Whether something is so in any process of the run. All must ask at the same place.

    Args:
        here: Whether it is so in this one.
    """
    if process_count() == 1:
        return here
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    votes = torch.tensor([int(here)], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes.item())


def sum_over_processes(values: Sequence[float]) -> list[float]:
    """Sums of some numbers over all processes, in float64. All must ask at the same place."""
    if process_count() == 1:
        return list(values)
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return [float(value) for value in sums]


def from_all_processes(here: ItemT) -> list[ItemT]:
    """A small picklable value of every process, in their order. All must ask at the same place."""
    if process_count() == 1:
        return [here]
    found: list[Any] = [None] * process_count()
    dist.all_gather_object(found, here)
    return found


def in_step(items: Iterable[ItemT]) -> Iterator[ItemT]:
    """Go through this process's share of some work until all processes are through theirs, however long it takes.

    A process group gives up after some minutes of waiting in one place, and shares may differ by more. Here all vote
    every ROUND seconds whether somebody still works, so that none waits longer than for one round and one item.
    """
    since = time.monotonic()
    for item in items:
        yield item
        if process_count() > 1 and time.monotonic() - since >= ROUND:
            any_process(True)
            since = time.monotonic()
    while any_process(False):
        pass
