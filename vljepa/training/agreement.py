"""What all processes of a run have to decide alike, or they would wait for each other for ever."""

from __future__ import annotations

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
