"""Moving average of the weights: what is validated and shipped when `train.ema` asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vljepa.models.sharded import shard_like


class WeightAverage:
    """Exponential moving average of every trained parameter.

    Step s keeps min(decay, s / (s + 9)) of the average, so that the first steps do not hold it back.

    Args:
        model: At the start of the run, sharded already if it will be: the average is sharded likewise.
        decay: Per step; 0 keeps no average at all.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {}
        if decay > 0:
            self.tensors = {name: parameter.detach().clone() for name, parameter in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        """Take in the weights after step number `step`, counted from 1."""
        if self.decay == 0:
            return
        kept = min(self.decay, step / (step + 9))
        for name, parameter in _trained(model):
            self.tensors[name].lerp_(parameter, 1 - kept)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a saved average; one that a run with another decay did not keep starts from the weights."""
        for name, tensor in self.tensors.items():
            tensor.copy_(shard_like(tensors[name], tensor) if name in tensors else tensor)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with the average in place of its weights, which come back to the last bit."""
        before = {name: parameter.detach().clone() for name, parameter in _trained(model) if name in self.tensors}
        model.load_state_dict(self.tensors, strict=False)
        try:
            yield
        finally:
            model.load_state_dict(before, strict=False)


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
