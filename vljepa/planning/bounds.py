"""Which actions can be taken: every plan is brought into these bounds before it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Bounds(Protocol):
    """Brings actions [..., A] to the nearest, or a near, one that can be taken."""

    def __call__(self, actions: Tensor) -> Tensor:
        """Actions of the same shape."""
        ...


@dataclass(frozen=True)
class Box:
    """Each number of an action by itself.

    Args:
        low: Least.
        high: Greatest.
    """

    low: float
    high: float

    def __call__(self, actions: Tensor) -> Tensor:
        """See `Bounds`."""
        return actions.clamp(self.low, self.high)


@dataclass(frozen=True)
class Ball:
    """Actions of a norm of at most `radius`; longer ones are shortened.

    Args:
        radius: In the action's units.
        p: Of the norm: 2 for a distance, 1 as V-JEPA 2-AC bounds the hand's displacement (0.075).
    """

    radius: float
    p: int = 2

    def __call__(self, actions: Tensor) -> Tensor:
        """See `Bounds`."""
        norm = torch.linalg.vector_norm(actions, ord=self.p, dim=-1, keepdim=True)
        shortened: Tensor = actions * (self.radius / norm.clamp_min(1e-12)).clamp_max(1.0)
        return shortened
