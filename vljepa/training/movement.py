"""How much of the model has moved since the start: what a dead group or bf16 master weights would show."""

from __future__ import annotations

from torch import Tensor, nn

from vljepa.models.sharded import whole
from vljepa.training.optim import group_of

SAMPLED = 4096
"""Elements remembered per tensor, evenly spaced: a copy of every weight would double the memory."""


class Movement:
    """Remembers some of every trained tensor and compares later.

    Args:
        model: At the start of the run.
    """

    def __init__(self, model: nn.Module) -> None:
        self.start = _sample(model)

    def fractions(self, model: nn.Module) -> dict[str, float]:
        """Share of the remembered elements that have changed at all, per parameter group."""
        moved: dict[str, list[int]] = {}
        for name, values in _sample(model).items():
            counts = moved.setdefault(group_of(name), [0, 0])
            counts[0] += int((values != self.start[name]).sum())
            counts[1] += values.numel()
        return {group: changed / total for group, (changed, total) in moved.items()}


def _sample(model: nn.Module) -> dict[str, Tensor]:
    sampled: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            flat = whole(parameter.detach()).flatten()
            sampled[name] = flat[:: max(1, flat.numel() // SAMPLED)].cpu().clone()
    return sampled
