"""One training step's loss and gradients: groups of samples, each with a loss of its own, over all processes.

Every process embeds its share of each group. A contrastive loss gathers the embeddings, so that each process computes
that of the whole global batch, and gradients averaged over processes are those of one process with all of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.errors import ConfigError
from vljepa.methods.protocol import Method, Rows, TrainingModule
from vljepa.models.types import Batch
from vljepa.objectives import grad_cache
from vljepa.training.pieces import join, split


class Step:
    """Computes a step's loss and gradients.

    Args:
        run: The recipe.
        method: What it minimises.
        module: Of the method; and
        wrapped: as Accelerate prepared it.
        accelerator: Of the run.
    """

    def __init__(
        self, run: RunConfig, *, method: Method, module: TrainingModule, wrapped: nn.Module, accelerator: Accelerator
    ) -> None:
        self.at_once = run.objective.grad_cache
        self.buckets = run.train.length_buckets
        self.method = method
        self.module = module
        self.wrapped = wrapped
        self.accelerator = accelerator

    def loss(self, groups: Sequence[Group], *, step: int) -> Tensor:
        """Loss of all groups, which count the same however many samples they have. With a graph, unless cached.

        Args:
            groups: This process's share of each, from `shared`.
            step: Number of the step.
        """
        pieces = [self._pieces(group.batch) for group in groups]
        if self.at_once is None:
            outputs = iter(self._embed([one for group in pieces for one in group]))
            losses = [self.method.loss(join([next(outputs) for _ in group]), group, step=step) for group in pieces]
        else:
            losses = [
                self._cached(group, step=step, groups=len(pieces), sync=number == len(pieces))
                for number, group in enumerate(pieces, start=1)
            ]
        return torch.stack(losses).mean()

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss; with GradCache they are there already."""
        if self.at_once is None:
            self.accelerator.backward(loss)

    def shared(self, groups: Sequence[Group]) -> list[Group]:
        """Those groups of which every process has something to embed; unreadable images may leave it nothing."""
        sizes = torch.tensor([group.size for group in groups], device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            dist.all_reduce(sizes, op=dist.ReduceOp.MIN)
        return [group for group, size in zip(groups, sizes.tolist(), strict=True) if size > 0]

    def _pieces(self, batch: Batch) -> list[Batch]:
        by_length = self.buckets > 1
        lengths_B = self.method.lengths(batch) if by_length else None
        pieces = split(batch, self._count(batch.size), lengths_B=lengths_B)
        cut = by_length and len(pieces) > 1
        return [(self.method.cut(one) if cut else one).to(self.accelerator.device) for one in pieces]

    def _embed(self, batches: Sequence[Batch]) -> list[Rows]:
        with self.accelerator.autocast():  # FSDP2 knows nothing of it, DDP does it again
            outputs: list[Rows] = self.wrapped(batches)
        return outputs

    def _count(self, rows: int) -> int:
        """Pieces of a group: as many in every process, for FSDP2 gathers the layers for each of them.

        No more than the fewest rows of any process, so that none is empty: where unreadable images leave one process
        next to nothing, pieces of the others are larger than `grad_cache`.
        """
        size = self.at_once
        wanted = max(self.buckets, 1 if size is None else -(-rows // size))
        if self.accelerator.num_processes == 1 or (size is None and self.buckets == 1):
            return min(wanted, rows)
        numbers = torch.tensor([-wanted, rows], device=self.accelerator.device)
        dist.all_reduce(numbers, op=dist.ReduceOp.MIN)
        most, fewest_rows = numbers.tolist()
        return min(-int(most), int(fewest_rows))

    def _cached(self, pieces: list[Batch], *, step: int, groups: int, sync: bool) -> Tensor:
        def embed(number: int) -> Rows:
            """Frozen encoders look once: what they made of a piece takes its place for the second pass."""
            [outputs] = self._embed([pieces[number]])
            if self.module.replayed:
                [pieces[number]] = self.module.replayed
            return outputs

        def no_sync() -> AbstractContextManager[object]:
            return self.accelerator.no_sync(self.wrapped)

        with nullcontext() if sync else no_sync():
            loss = grad_cache(
                embed,
                chunks=len(pieces),
                loss=lambda outputs: self.method.loss(outputs, pieces, step=step) / groups,
                backward=self.accelerator.backward,
                no_sync=no_sync if sync else nullcontext,
            )
        return loss * groups


def refuse_accumulation(*, reason: str, instead: str) -> None:
    """Refuse gradient accumulation, which `accelerate launch` may ask for: no step here is made of several.

    Args:
        reason: What it would do.
        instead: The keys to use.

    Raises:
        ConfigError: With both.
    """
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps not in ("1", ""):
        raise ConfigError(
            f"gradient accumulation over {steps} steps is asked for: {reason}.", fix=f"unset it, and {instead}."
        )
