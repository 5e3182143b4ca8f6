"""All ranks' rows on every rank, with gradient: the contrastive batch is the global one.

Shapes: B rows of this rank, G rows of all ranks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_with_gradient(rows_BD: Tensor) -> Tensor:
    """Rows of all ranks, in the order of ranks; ranks may have different numbers of rows, or none.

    A loss of all the rows is then the same on every rank, and its gradients come back to the rows' own ranks, *summed*
    over the ranks that computed it. Parameter gradients averaged over ranks, as DDP and FSDP do, are therefore those of
    one process with the whole batch. An all-gather without gradient (`accelerator.gather`) loses the part that other
    ranks' losses have in a row: on two ranks its gradient has half the norm.

    Args:
        rows_BD: Rows [B, ...] of this rank.

    Returns:
        [G, ...]; the rows themselves where there is one process.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return rows_BD
    gathered: Tensor = _Gather.apply(rows_BD)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_BD: Tensor) -> Tensor:
        counts = [torch.zeros(1, dtype=torch.long, device=rows_BD.device) for _ in range(dist.get_world_size())]
        dist.all_gather(counts, torch.tensor([len(rows_BD)], device=rows_BD.device))
        sizes = [int(count) for count in counts]
        padded_MD = rows_BD.new_zeros(max(sizes), *rows_BD.shape[1:])
        padded_MD[: len(rows_BD)] = rows_BD
        pieces = [torch.empty_like(padded_MD) for _ in sizes]
        dist.all_gather(pieces, padded_MD)
        ctx.start = sum(sizes[: dist.get_rank()])
        ctx.count = len(rows_BD)
        return torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, outer_GD: Tensor) -> Tensor:
        summed_GD = outer_GD.contiguous().clone()
        dist.all_reduce(summed_GD)
        return summed_GD[ctx.start : ctx.start + ctx.count]
