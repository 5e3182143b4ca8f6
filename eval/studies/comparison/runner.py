"""Trains one learner: one loop for both. A run that is finished is not run again, and any run goes on where it was."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from eval.core.console import log
from eval.studies.comparison.learners import Learner, trained_parameters
from vljepa.configs import OptimConfig, RunConfig
from vljepa.data.collate import Group, StepBatches
from vljepa.errors import CheckpointError
from vljepa.training.averaging import WeightAverage
from vljepa.training.guards import check_finite
from vljepa.training.optim import build_optimizer, learning_rate, set_learning_rate

CURVE, STATE = "curve.json", "state.pt"


@dataclass(frozen=True)
class Plan:
    """One run.

    Args:
        arm: `ours` or `vlm`.
        lr: Peak learning rate.
        seed: Of initialisation, order and dropout.
    """

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
    done = finished_curve(folder, until=checkpoints[-1], digest=digest)
    if done is not None:
        log(f"{plan.name}: at step {checkpoints[-1]} before")
        return done
    assert run.optim.schedule == "constant"
    learner, batches = start()
    optimizer = build_optimizer(learner.model, config=run.optim.model_copy(update={"fused": True}))
    average = WeightAverage(learner.model, decay=run.train.ema)
    state = _restore(folder, learner, optimizer, average, digest) or _fresh(plan, learner, batches, digest)
    folder.mkdir(parents=True, exist_ok=True)
    for step in range(len(state["losses"]), checkpoints[-1]):
        batch = batches[step]  # reading is not timed: it is the same work for both
        began, began_processor = time.perf_counter(), time.process_time()
        torch.manual_seed(plan.seed * 1_000_003 + step)  # of dropout
        state["losses"].append(_step(learner, batch, optimizer, step=step, config=run.optim))
        average.after_step(step=step + 1)
        state["wall"].append(time.perf_counter() - began)
        state["processor"].append(time.process_time() - began_processor)
        if step + 1 in checkpoints:
            save_file({name: one.contiguous() for name, one in average.tensors.items()}, folder / _weights(step + 1))
            point = _point(state, samples=(step + 1) * run.train.batch_size)
            state["curve"]["checkpoints"].append(point)
            _save(folder, learner, optimizer, average, state)
            log(
                f"{plan.name}: step {step + 1}, loss {point['loss']:.3f}, a step takes "
                f"{point['processor_s_per_step']:.2f} processor seconds, {point['wall_s_per_step']:.2f} by the clock"
            )
    curve: dict[str, Any] = state["curve"]
    return curve


def _step(
    learner: Learner, batch: Sequence[Group], optimizer: torch.optim.Optimizer, *, step: int, config: OptimConfig
) -> float:
    """One optimizer step; the loss before it."""
    learner.model.train()
    loss = learner.loss(batch, step=step)
    check_finite(float(loss.detach()), what="loss", step=step)
    learner.accelerator.backward(loss)
    trained = [one for one in learner.model.parameters() if one.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, config.grad_clip or math.inf)
    set_learning_rate(optimizer, learning_rate(step, config=config, steps=step + 1))
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _fresh(plan: Plan, learner: Learner, batches: StepBatches, digest: str) -> dict[str, Any]:
    """State of a run before its first step."""
    curve = {
        "arm": plan.arm,
        "lr": plan.lr,
        "seed": plan.seed,
        "digest": digest,
        "trained_parameters": trained_parameters(learner.model),
        "order": batches.order(),
        "checkpoints": [],
    }
    return {"curve": curve, "losses": [], "wall": [], "processor": []}


def _point(state: dict[str, Any], *, samples: int) -> dict[str, float]:
    return {
        "step": len(state["losses"]),
        "samples": samples,
        "loss": float(np.mean(state["losses"][-10:])),
        "wall_s_per_step": float(np.median(state["wall"])),
        "processor_s_per_step": float(np.median(state["processor"])),
    }


def _save(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, average: WeightAverage, state: dict[str, Any]
) -> None:
    """All that a run goes on from, and its curve for reading."""
    weights = {name: one for name, one in learner.model.named_parameters() if one.requires_grad}
    part = folder / f"{STATE}.part"
    torch.save(state | {"weights": weights, "average": average.tensors, "optimizer": optimizer.state_dict()}, part)
    part.replace(folder / STATE)
    part = folder / f"{CURVE}.part"
    part.write_text(json.dumps(state["curve"], indent=1) + "\n", encoding="utf-8")
    part.replace(folder / CURVE)


def _restore(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, average: WeightAverage, digest: str
) -> dict[str, Any] | None:
    if not (folder / STATE).is_file():
        return None
    state: dict[str, Any] = torch.load(folder / STATE, weights_only=True)
    _check_digest(state["curve"], digest, folder)
    learner.model.load_state_dict(state.pop("weights"), strict=False)
    average.restore(state.pop("average"))
    optimizer.load_state_dict(state.pop("optimizer"))
    return state


def _check_digest(curve: dict[str, Any], digest: str, folder: Path) -> None:
    if curve["digest"] != digest:
        raise CheckpointError(f"{str(folder)!r} holds a run with another recipe.", fix="choose another --work.")


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


def _weights(step: int) -> str:
    return f"step_{step:06}.safetensors"
