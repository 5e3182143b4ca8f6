"""GradCache: a contrastive batch of any size in the memory of a small one, with the gradients of the whole.

Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

Outputs = Mapping[str, Tensor]


def grad_cache(
    embed: Callable[[int], Outputs],
    *,
    chunks: int,
    loss: Callable[[Outputs], Tensor],
    backward: Callable[[Tensor], None] = Tensor.backward,
    no_sync: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Backpropagate a loss of all samples through an encoder that only ever holds one chunk of them.

    All chunks are embedded without a graph, the loss gives the gradients of the embeddings, and each chunk is embedded
    again, with a graph and the same random numbers, to carry them on to the parameters. The result is exact, unlike
    gradient accumulation, in which a chunk's samples see only each other as negatives. It costs one more forward.

    Args:
        embed: Outputs of a chunk by its number, rows first; called twice per chunk, dropout included.
        chunks: How many there are.
        loss: Of the outputs of all chunks, concatenated. Parameters that it uses must come to it as outputs: one of
            shape (1,) becomes [chunks], whose mean it should take.
        backward: Backpropagates a scalar, such as `accelerator.backward`.
        no_sync: Context in which backward passes leave gradients unsynchronised, for all chunks but the last.

    Returns:
        The loss, detached.
    """
    states, kept = [], []
    for chunk in range(chunks):
        states.append(_random_state())
        with torch.no_grad():
            kept.append(embed(chunk))
    leaves = {
        name: torch.cat([outputs[name] for outputs in kept]).detach().requires_grad_(kept[0][name].is_floating_point())
        for name in kept[0]
    }
    total = loss(leaves)
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    slopes = dict(zip(wanted, torch.autograd.grad(total, list(wanted.values()), allow_unused=True), strict=True))
    starts = dict.fromkeys(wanted, 0)
    for chunk in range(chunks):
        with no_sync() if chunk + 1 < chunks else nullcontext(), torch.random.fork_rng(devices=_devices()):
            _restore(states[chunk])
            outputs = embed(chunk)
            carried = []
            for name, slope in slopes.items():
                end = starts[name] + len(outputs[name])
                if slope is not None and outputs[name].requires_grad:
                    carried.append((outputs[name] * slope[starts[name] : end]).sum())
                starts[name] = end
            if carried:
                backward(torch.stack(carried).sum())
    return total.detach()


def _devices() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


def _random_state() -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def _restore(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
