"""How much of the model has moved since the start: what a dead group or bf16 master weights would show."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vljepa.methods.hooks import Hook
from vljepa.models.layers.sharded import whole
from vljepa.training.optim import group_of
from vljepa.validation.tasks import Metrics

SAMPLED = 4096
"""Elements remembered per tensor, evenly spaced: a copy of every weight would double the memory."""


class Movement(Hook):
    """Remembers some of every trained tensor and compares later.

    Args:
        model: At the start of the run.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.start = _sample(model)

    def metrics(self) -> Metrics:
        """`moved/GROUP`: share of the remembered elements that have changed at all, per parameter group."""
        moved: dict[str, list[int]] = {}
        for name, values in _sample(self.model).items():
            counts = moved.setdefault(group_of(name), [0, 0])
            counts[0] += int((values != self.start[name]).sum())
            counts[1] += values.numel()
        return {f"moved/{group}": changed / total for group, (changed, total) in moved.items()}

    def state(self) -> dict[str, Any]:
        """See `Hook`."""
        return dict(self.start)

    def restore(self, state: dict[str, Any]) -> None:
        """See `Hook`."""
        self.start = state


def _sample(model: nn.Module) -> dict[str, Tensor]:
    sampled: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            flat = whole(parameter.detach()).flatten()
            sampled[name] = flat[:: max(1, flat.numel() // SAMPLED)].cpu().clone()
    return sampled
