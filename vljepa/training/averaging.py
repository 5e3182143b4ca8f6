"""Moving average of the weights: what is validated and shipped when `train.ema` asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.methods.hooks import Hook
from vljepa.models.layers.sharded import shard_like


class WeightAverage(Hook):
    """Exponential moving average of every trained parameter.

    Step s keeps min(decay, s / (s + 9)) of the average, so that the first steps do not hold it back.

    Args:
        model: At the start of the run, sharded already if it will be: the average is sharded likewise.
        decay: Per step; 0 keeps no average at all.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.tensors: dict[str, Tensor] = {}
        if decay > 0:
            self.tensors = {name: parameter.detach().clone() for name, parameter in _trained(model)}

    @torch.no_grad()
    def after_step(self, *, step: int) -> None:
        """See `Hook`: take in the weights."""
        if self.decay == 0:
            return
        kept = min(self.decay, step / (step + 9))
        for name, parameter in _trained(self.model):
            self.tensors[name].lerp_(parameter, 1 - kept)

    def state(self) -> dict[str, Any]:
        """See `Hook`."""
        return dict(self.tensors)

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a saved average; one that a run with another decay did not keep starts from the weights."""
        for name, tensor in self.tensors.items():
            tensor.copy_(shard_like(state[name], tensor) if name in state else tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the average in place of its weights, which come back to the last bit."""
        model = self.model
        before = {name: parameter.detach().clone() for name, parameter in _trained(model) if name in self.tensors}
        model.load_state_dict(self.tensors, strict=False)
        try:
            yield
        finally:
            model.load_state_dict(before, strict=False)


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
