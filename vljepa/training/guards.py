"""What stops a run before it does harm."""

from __future__ import annotations

import math

import torch
from torch import nn

from vljepa.errors import ConfigError, VLJEPAError


class NonFiniteError(VLJEPAError):
    """The loss or a gradient is not a number; the optimizer has not seen it."""


def check_finite(value: float, *, what: str, step: int) -> None:
    """Stop before the optimizer step when the loss or the gradient norm is infinite or not a number.

    Raises:
        NonFiniteError: With the step; the weights are those of the step before.
    """
    if not math.isfinite(value):
        raise NonFiniteError(
            f"the {what} is {value} at step {step}; the weights are still those of the step before.",
            fix="lower optim.lr, lengthen optim.warmup_steps or set train.precision=fp32, and resume.",
        )


def check_master_weights(model: nn.Module) -> None:
    """Refuse to train weights of less than 32 bits: at small learning rates AdamW's steps round to nothing in bf16.

    Raises:
        ConfigError: Naming the first such parameter.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"the trained parameter {name!r} is {parameter.dtype}, master weights are fp32.",
                fix="call model.float() before training; train.precision chooses the dtype of the computation.",
            )
