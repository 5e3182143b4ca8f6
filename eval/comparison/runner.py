"""Trains one learner: one loop for both. A finished run is not run again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from eval.comparison.learners import Learner, trained_parameters
from vljepa.configs import RunConfig
from vljepa.data.collate import StepBatches
from vljepa.errors import CheckpointError
from vljepa.training.averaging import WeightAverage
from vljepa.training.guards import check_finite
from vljepa.training.optim import build_optimizer, learning_rate, set_learning_rate

CURVE = "curve.json"


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


def finished_curve(folder: Path, *, digest: str) -> dict[str, Any] | None:
    """Curve of a run that is complete, or None.

    Raises:
        CheckpointError: The folder's run had another recipe.
    """
    file = folder / CURVE
    if not file.is_file():
        return None
    curve: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if curve["digest"] != digest:
        raise CheckpointError(
            f"{str(folder)!r} holds a run with another recipe or other checkpoints.", fix="choose another --work."
        )
    return curve if curve["finished"] else None


def train_run(
    plan: Plan,
    folder: Path,
    *,
    run: RunConfig,
    checkpoints: list[int],
    digest: str,
    start: Callable[[], tuple[Learner, StepBatches]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train to the last checkpoint, or give back the curve of a run that is complete.

    The averaged weights of every checkpoint and the curve so far are written as the run goes. A run that was broken
    off starts anew.

    Args:
        plan: The run.
        folder: For its files.
        run: Its recipe.
        checkpoints: Steps after which the weights are kept.
        digest: Hash of the recipe and the checkpoints.
        start: Makes the learner and its batches.
        say: Takes progress lines.
    """
    done = finished_curve(folder, digest=digest)
    if done is not None:
        say(f"{plan.name}: finished before")
        return done
    learner, batches = start()
    model, config = learner.model, run.optim
    optimizer = build_optimizer(model, config=config.model_copy(update={"fused": True}))
    average = WeightAverage(model, decay=run.train.ema)
    trained = [one for one in model.parameters() if one.requires_grad]
    curve: dict[str, Any] = {
        "arm": plan.arm,
        "lr": plan.lr,
        "seed": plan.seed,
        "digest": digest,
        "trained_parameters": trained_parameters(model),
        "order": batches.order(),
        "checkpoints": [],
        "finished": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    wall: list[float] = []
    processor: list[float] = []
    for step in range(checkpoints[-1]):
        batch = batches[step]  # reading is not timed: it is the same work for both
        began, began_processor = time.perf_counter(), time.process_time()
        torch.manual_seed(plan.seed * 1_000_003 + step)  # of dropout
        model.train()
        loss = learner.loss(batch, step=step)
        losses.append(float(loss.detach()))
        check_finite(losses[-1], what="loss", step=step)
        learner.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, config.grad_clip or math.inf)
        set_learning_rate(optimizer, learning_rate(step, config=config, steps=checkpoints[-1]))
        optimizer.step()
        optimizer.zero_grad()
        average.update(model, step=step + 1)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - began_processor)
        if step + 1 in checkpoints:
            save_file({name: one.contiguous() for name, one in average.tensors.items()}, folder / _weights(step + 1))
            curve["checkpoints"].append(
                {
                    "step": step + 1,
                    "samples": (step + 1) * run.train.batch_size,
                    "loss": float(np.mean(losses[-20:])),
                    "wall_s_per_step": float(np.median(wall)),
                    "processor_s_per_step": float(np.median(processor)),
                }
            )
            curve["finished"] = step + 1 == checkpoints[-1]
            _write(folder / CURVE, curve)
            say(f"{plan.name}: step {step + 1}, loss {np.mean(losses[-20:]):.3f}, {np.median(wall):.2f} s a step")
    return curve


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


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
