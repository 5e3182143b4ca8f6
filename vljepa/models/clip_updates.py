"""Low-rank updates of a model's matrices that are there for clips and not for pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn

_ALPHA = 2.0
"""LoRA's alpha over its rank."""


class ClipUpdates(nn.Module):
    """Adds B A x to the outputs of linear layers, while a clip is looked at (LoRA, arXiv 2106.09685).

    So frozen layers learn time, and say of a picture what they said before, to the last bit. They keep their names and
    weights: a checkpoint of the model without clips still fits.

    Args:
        layers: What is updated, in an order that the architecture gives.
        rank: Of each update, which is zero at first.
    """

    def __init__(self, layers: Iterable[nn.Linear], *, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self._on = False
        for number, layer in enumerate(layers):
            up = nn.Linear(rank, layer.out_features, bias=False)
            nn.init.zeros_(up.weight)
            self.down.append(nn.Linear(layer.in_features, rank, bias=False))
            self.up.append(up)
            layer.register_forward_hook(partial(_updated, self, number))

    @contextmanager
    def applied(self, on: bool = True) -> Iterator[None]:
        """Whether the layers are updated, meanwhile."""
        before, self._on = self._on, on
        try:
            yield
        finally:
            self._on = before

    def recomputed(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For `torch.utils.checkpoint`: what is computed again in the backward is so as it was in the forward."""
        return nullcontext(), self.applied(self._on)


def _updated(updates: ClipUpdates, number: int, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Any:
    if not updates._on:
        return None  # the output as it is
    return output + _ALPHA * updates.up[number](updates.down[number](inputs[0]))
