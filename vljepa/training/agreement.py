"""What all processes of a run have to decide alike, or they would wait for each other for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def any_process(here: bool) -> bool:
    """Whether something is so in any process of the run. All must ask at the same place.

    Args:
        here: Whether it is so in this one.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return here
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    votes = torch.tensor([int(here)], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes.item())


@contextmanager
def leaving_processes() -> Iterator[None]:
    """Take leave of the other processes at the end of a program, whatever that end is.

    Without it gloo's threads may still hold tensors while Python is being taken down, and now and then the process
    aborts after its work is done (https://github.com/pytorch/pytorch/pull/179291). Nothing can be trained afterwards.
    """
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
