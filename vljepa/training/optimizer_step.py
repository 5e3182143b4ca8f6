"""One optimizer step, the same for every method and for the Y-Decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn

from vljepa.configs import DecoderRunConfig, RunConfig
from vljepa.methods import Hook
from vljepa.models.layers.sharded import whole
from vljepa.training.guards import SpikeWatch, check_finite
from vljepa.training.optim import learning_rate, set_learning_rate, set_weight_decay, weight_decay


class OptimizerStep:
    """What a loop steps with.

    Attributes:
        run: The recipe, with its number of steps.
        accelerator: Of the run.
        optimizer: As Accelerate prepared it.
        hooks: By name, what happens beside the optimizer.
        spikes: Watches the loss.
    """

    run: RunConfig | DecoderRunConfig
    accelerator: Accelerator
    optimizer: AcceleratedOptimizer
    hooks: Mapping[str, Hook]
    spikes: SpikeWatch

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        assert self.run.train.steps is not None, "resolved by `with_steps`"
        return self.run.train.steps

    def _update(
        self, loss: float, backward: Callable[[], object], module: nn.Module, *, step: int
    ) -> tuple[float, float]:
        """One optimizer step; gives the learning rate and the norm of the gradient before clipping.

        Args:
            loss: Mean over all processes.
            backward: Makes the gradients.
            module: Whose gradients they are.
            step: Number of the step.

        Raises:
            NonFiniteError: The loss or the gradient is not a number; the weights are those of the step before.
            LossSpikeError: The loss has risen and stays high.
        """
        run = self.run
        check_finite(loss, what="loss", step=step)
        self.spikes.see(loss, step=step)
        backward()
        norm = self.accelerator.clip_grad_norm_(module.parameters(), run.optim.grad_clip or math.inf)
        assert norm is not None
        norm = whole(norm)
        if self.accelerator.scaler is None:  # in fp16 an infinite norm is the loss scaler's business
            check_finite(float(norm), what="gradient norm", step=step)
        lr = learning_rate(step, config=run.optim, steps=self.steps)
        set_learning_rate(self.optimizer, lr)
        if run.optim.weight_decay_end is not None:
            set_weight_decay(self.optimizer, weight_decay(step, config=run.optim, steps=self.steps))
        self.optimizer.step()
        self.optimizer.zero_grad()
        for hook in self.hooks.values():
            hook.after_step(step=step + 1)
        return lr, float(norm)
