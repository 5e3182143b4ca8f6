"""Where targets come from: an encoder that stays as it is, one that is trained, or a teacher that follows the student.

`y_encoder.target` names the first two for texts. A method whose targets are latents of what the context encoder sees
itself, as in V-JEPA, takes a `Teacher` of that encoder.
"""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import nn


class Teacher(nn.Module):
    """A moving average of an encoder, without gradients and always in eval mode (arXiv 2104.14294, 2404.08471).

    Args:
        student: The encoder that is trained; the average begins as its copy.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(student).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def follow(self, student: nn.Module, *, momentum: float) -> None:
        """Move a step towards the student: momentum * teacher + (1 - momentum) * student, buffers copied."""
        mine = self.encoder.state_dict()
        for name, tensor in student.state_dict().items():
            if tensor.is_floating_point():
                mine[name].lerp_(tensor.to(mine[name]), 1 - momentum)
            else:
                mine[name].copy_(tensor)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the average makes of the encoder's own arguments."""
        return self.encoder(*args, **kwargs)
