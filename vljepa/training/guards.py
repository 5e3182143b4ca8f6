"""What stops a run before it does harm."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from vljepa.data.processes import any_process
from vljepa.errors import ConfigError, VLJEPAError


class NonFiniteError(VLJEPAError):
    """The loss or a gradient is not a number; the optimizer has not seen it."""


class LossSpikeError(VLJEPAError):
    """The loss has risen and does not come down again."""


def check_finite(value: float, *, what: str, step: int) -> None:
    """Stop before the optimizer step when the loss or the gradient norm is infinite or not a number in any process.

    Raises:
        NonFiniteError: With the step; the weights are those of the step before.
    """
    if any_process(not math.isfinite(value)):
        where = "not finite in another process" if math.isfinite(value) else str(value)
        raise NonFiniteError(
            f"the {what} is {where} at step {step}; the weights are still those of the step before.",
            fix="set another train.output and lower optim.lr, lengthen optim.warmup_steps or set train.precision=fp32.",
        )


class SpikeWatch:
    """Stops a run whose loss has left the range it was in: by more than `limit` deviations, `PATIENCE` steps in a row.

    Mean and deviation are moving ones over the losses that were in range. The deviation counts as at least
    `LEAST_SHARE` of the mean and `LEAST` nats, so that a loss near zero may double.

    Args:
        limit: Deviations above the mean that are in range; None turns it off.
    """

    WARM_UP = 50
    PATIENCE = 20
    MEMORY = 0.98
    LEAST_SHARE = 0.02
    LEAST = 0.01

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._seen, self._outside = 0, 0
        self._mean, self._variance = 0.0, 0.0

    def see(self, loss: float, *, step: int) -> None:
        """Take in the loss of a step; one that is no number stops the run by itself.

        Raises:
            LossSpikeError: In every process, if one of them has seen enough.
        """
        if self.limit is None:
            return
        least = max(self.LEAST, self.LEAST_SHARE * abs(self._mean))
        bound = self._mean + self.limit * max(math.sqrt(self._variance), least)
        in_range = loss <= bound or (self._seen < self.WARM_UP and math.isfinite(loss))
        if in_range:
            kept = min(self.MEMORY, self._seen / (self._seen + 1))
            off = loss - self._mean
            self._mean += (1 - kept) * off
            self._variance = kept * (self._variance + (1 - kept) * off * off)
            self._seen += 1
        self._outside = 0 if in_range else self._outside + 1
        if any_process(self._outside >= self.PATIENCE or not math.isfinite(loss)):
            raise LossSpikeError(
                f"the loss is {loss:.4g} at step {step} and was above {bound:.4g} for {self.PATIENCE} steps; "
                f"it had been {self._mean:.4g}.",
                fix="set another train.output and lower optim.lr, or set train.spike=null to go on all the same.",
            )

    def state(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return {"seen": self._seen, "outside": self._outside, "mean": self._mean, "variance": self._variance}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._seen, self._outside = state["seen"], state["outside"]
        self._mean, self._variance = state["mean"], state["variance"]


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
