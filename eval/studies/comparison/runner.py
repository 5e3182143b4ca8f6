"""Trains one learner: one loop for both. A run that is finished is not run again, and any run goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from eval.core.cache import write
from eval.core.console import log
from eval.studies.comparison.learners import Learner, trained_parameters
from vljepa.configs import RunConfig
from vljepa.data.collate import StepBatches
from vljepa.errors import CheckpointError
from vljepa.training.averaging import WeightAverage
from vljepa.training.guards import SpikeWatch
from vljepa.training.optim import build_optimizer
from vljepa.training.optimizer_step import OptimizerStep

CURVE, STATE = "curve.json", "state.pt"


class Plan(NamedTuple):
    """One run: `ours` or `vlm`, its peak learning rate, and the seed of initialisation, order and dropout."""

    arm: str
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder's name."""
        return f"{self.arm}_lr{self.lr:g}_seed{self.seed}"


def finished_curve(folder: Path, *, until: int, digest: str) -> dict[str, Any] | None:
    """Curve of a run that has come as far as `until`, or None.

    Raises:
        CheckpointError: The folder's run had another recipe.
    """
    file = folder / CURVE
    if not file.is_file():
        return None
    curve: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    _check_digest(curve, digest, folder)
    return curve if curve["checkpoints"][-1]["step"] >= until else None


def train_run(
    plan: Plan,
    folder: Path,
    *,
    run: RunConfig,
    checkpoints: Sequence[int],
    digest: str,
    start: Callable[[], tuple[Learner, StepBatches]],
) -> dict[str, Any]:
    """Train to the last checkpoint, or give back the curve of a run that is there already.

    The averaged weights of every checkpoint and the curve so far are written as the run goes; a run that was broken
    off, or is to go further now, goes on from its last checkpoint as if it had never stopped.

    Args:
        plan: The run.
        folder: For its files.
        run: Its recipe, with a constant learning rate: its first steps do not depend on the last.
        checkpoints: Steps after which the weights are kept.
        digest: Hash of the recipe.
        start: Makes the learner and its batches.
    """
    curve = finished_curve(folder, until=checkpoints[-1], digest=digest)
    if curve is not None:
        log(f"{plan.name}: at step {checkpoints[-1]} before")
        return curve
    assert run.optim.schedule == "constant"
    learner, batches = start()
    runner = Runner(learner, folder, run=run.model_copy(update={"train": run.train.model_copy(update={"steps": 1})}))
    state = runner.restored(digest)
    if state is None:
        about = plan._asdict() | {"digest": digest, "trained_parameters": trained_parameters(learner.model)}
        curve = about | {"order": batches.order(), "checkpoints": []}
        state = {"curve": curve, "losses": [], "wall": [], "processor": []}
    for step in range(len(state["losses"]), checkpoints[-1]):
        batch = batches[step]  # reading is not timed: it is the same work for both
        began, began_processor = time.perf_counter(), time.process_time()
        torch.manual_seed(plan.seed * 1_000_003 + step)  # of dropout
        learner.model.train()
        loss = learner.loss(batch, step=step)
        state["losses"].append(float(loss.detach()))
        runner.advance(loss, step=step)
        state["wall"].append(time.perf_counter() - began)
        state["processor"].append(time.process_time() - began_processor)
        if step + 1 in checkpoints:
            point = {
                "step": step + 1,
                "samples": (step + 1) * run.train.batch_size,
                "loss": float(np.mean(state["losses"][-10:])),
                "wall_s_per_step": float(np.median(state["wall"])),
                "processor_s_per_step": float(np.median(state["processor"])),
            }
            state["curve"]["checkpoints"].append(point)
            runner.save(state, step=step + 1)
            log(
                f"{plan.name}: step {step + 1}, loss {point['loss']:.3f}, a step takes "
                f"{point['processor_s_per_step']:.2f} processor seconds, {point['wall_s_per_step']:.2f} by the clock"
            )
    found: dict[str, Any] = state["curve"]
    return found


class Runner(OptimizerStep):
    """A learner with its optimizer and the average of its weights, and the folder that they are saved in."""

    def __init__(self, learner: Learner, folder: Path, *, run: RunConfig) -> None:
        self.run, self.folder, self.learner, self.accelerator = run, folder, learner, learner.accelerator
        optimizer = build_optimizer(learner.model, config=run.optim.model_copy(update={"fused": True}))
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.average = WeightAverage(learner.model, decay=run.train.ema)
        self.hooks = {"average": self.average}
        self.spikes = SpikeWatch(None)

    def advance(self, loss: torch.Tensor, *, step: int) -> None:
        """One optimizer step."""
        value = float(loss.detach())
        self._update(value, lambda: self.accelerator.backward(loss), self.learner.model, step=step)

    def save(self, state: dict[str, Any], *, step: int) -> None:
        """The checkpoint, all that the run goes on from, and its curve for reading."""
        self.folder.mkdir(parents=True, exist_ok=True)
        average = self.average.tensors
        save_file({name: one.contiguous() for name, one in average.items()}, self.folder / _weights(step))
        weights = {name: one for name, one in self.learner.model.named_parameters() if one.requires_grad}
        part = self.folder / f"{STATE}.part"
        torch.save(state | {"weights": weights, "average": average, "optimizer": self.optimizer.state_dict()}, part)
        part.replace(self.folder / STATE)
        write(state["curve"], self.folder / CURVE)

    def restored(self, digest: str) -> dict[str, Any] | None:
        """What `save` was given last, with everything else brought back; None in a fresh folder."""
        if not (self.folder / STATE).is_file():
            return None
        state: dict[str, Any] = torch.load(self.folder / STATE, weights_only=True)
        _check_digest(state["curve"], digest, self.folder)
        self.learner.model.load_state_dict(state.pop("weights"), strict=False)
        self.average.restore(state.pop("average"))
        self.optimizer.load_state_dict(state.pop("optimizer"))
        return state


def load_checkpoint(learner: Learner, folder: Path, *, step: int) -> None:
    """Bring the weights of a checkpoint into a learner of that kind; eval mode.

    Raises:
        CheckpointError: They are not those of this learner's trained parameters.
    """
    tensors = load_file(folder / _weights(step))
    wanted = {name for name, one in learner.model.named_parameters() if one.requires_grad}
    if set(tensors) != wanted:
        raise CheckpointError(f"{str(folder)!r} holds another learner's weights.", fix="choose another --work.")
    learner.model.load_state_dict(tensors, strict=False)
    learner.model.eval()


def _check_digest(curve: dict[str, Any], digest: str, folder: Path) -> None:
    if curve["digest"] != digest:
        raise CheckpointError(f"{str(folder)!r} holds a run with another recipe.", fix="choose another --work.")


def _weights(step: int) -> str:
    return f"step_{step:06}.safetensors"
