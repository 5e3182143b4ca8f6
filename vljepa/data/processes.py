"""The processes of a run, and what they decide alike. Work of unequal length: `long_work.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

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
