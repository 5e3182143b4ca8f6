"""How far a model trusts its residual, for the log: the gates' mean over the samples that went through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.models.residuals import AskedGate, PriorGate
from vljepa.validation.tasks import Metrics


class GateLog:
    """Sums what the trained gates give, in training and in validation apart; nothing for a model without a gate.

    Args:
        model: With its adapters, if it gets any.
    """

    def __init__(self, model: VLJEPA) -> None:
        self._sums: dict[bool, tuple[Tensor, int]] = {}
        for predictor in model.predictors().values():
            for gate in _gates_in(predictor.gate):
                gate.register_forward_hook(self._see)

    def training(self) -> Metrics:
        """`gate`: the mean since the last call."""
        return self._take(training=True)

    def validation(self) -> Metrics:
        """The same, of a validation's samples."""
        return self._take(training=False)

    def _take(self, *, training: bool) -> Metrics:
        if training not in self._sums:
            return {}
        total, count = self._sums.pop(training)
        return {"gate": float(total) / count}

    def _see(self, gate: nn.Module, inputs: Any, gate_B1: Tensor) -> None:
        del inputs
        total, count = self._sums.get(gate.training, (torch.zeros((), device=gate_B1.device), 0))
        self._sums[gate.training] = total + gate_B1.detach().sum(), count + len(gate_B1)


def _gates_in(module: nn.Module | None) -> list[nn.Module]:
    """The gate itself; of one that adapters train, the copy that is trained and not the one of the start."""
    gates = [one for one in module.modules() if isinstance(one, AskedGate | PriorGate)] if module is not None else []
    return [one for one in gates if any(parameter.requires_grad for parameter in one.parameters())]
