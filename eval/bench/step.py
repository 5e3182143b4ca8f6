"""What each key of a training step costs and saves: ``python eval/run.py bench.step data=DATA cache=CACHE``.

Real steps of the real Trainer: mini's parts, its Y-Encoder trained too, so that texts are not cached, on mini's photos,
emoji and questions. Every measurement is a process of its own, with its own peak of memory; settings take turns. No
accuracy is measured, and the batches are the same for all.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eval.bench.memory import apart, count_peak_from_here, peak_mb, resident_mb
from eval.core import provenance
from eval.core.console import log
from vljepa.models.types import Batch

SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "train.gradient_checkpointing=true": {"train": {"gradient_checkpointing": True}},
    "objective.grad_cache=32": {"objective": {"grad_cache": 32}},
    "train.length_buckets=4": {"train": {"length_buckets": 4}},
    "grad_cache=32, length_buckets=4": {"objective": {"grad_cache": 32}, "train": {"length_buckets": 4}},
    "optim.fused=true": {"optim": {"fused": True}},
    "train.precision=bf16": {"train": {"precision": "bf16"}},
    "train.compile=true": {"train": {"compile": True}},
}
MEASURED = ("seconds", "first_wall_seconds", "peak_mb", "tokens")
WARM_UP = 2
"""Steps that are not counted: the first makes AdamW's state, the second is the first with it."""


class Plan(NamedTuple):
    """Folders of recipes/mini/prepare.py and of the encoded images, and measured steps of each setting in a turn."""

    data: str
    cache: str
    steps: int = 6


def measure(
    *,
    data: str,
    cache: str,
    steps: int = 6,
    turns: int = 3,
    batches: Sequence[int] = (48, 256),
    settings: Sequence[str] = tuple(SETTINGS),
) -> dict[str, Any]:
    """Every setting beside the plain one, with batches of each size, all settings one after another `turns` times."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    import vljepa.training.trainer  # noqa: F401  once, for all children

    plan, rows = Plan(data, cache, steps), []
    names = list(dict.fromkeys(["plain", *settings]))
    for batch in batches:
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for turn in range(turns):
            for name in names:
                measured[name].append(apart(measure_here, name, batch, plan))
                log(f"batch {batch}, turn {turn + 1}: {name:34} {measured[name][-1]['seconds']:6.2f} s")
        rows += summary(measured, batch=batch)
    return {
        "task": "one training step, CPU",
        "packages": provenance.packages(),
        "data": provenance.data_of(Path(data)),
        "protocol": f"one thread; {turns} turns of all settings, so that what else the machine does hits all; "
        f"seconds: processor seconds of a step, median of {steps} after {WARM_UP}, then of the turns; peak_mb: "
        "peak resident memory above what the process held before its first step, less gradients and AdamW's state; "
        "first_wall_seconds: the first step by the clock, on a shared machine; tokens: of query and target with "
        "padding, median; losses: of the first steps, from the same batches, without dropout",
        "rows": rows,
    }


def summary(turns: dict[str, list[dict[str, Any]]], *, batch: int) -> list[dict[str, Any]]:
    """A row per setting: medians of its turns, and their ratios to those of `plain`."""
    rows: list[dict[str, Any]] = []
    for setting, measured in turns.items():
        row: dict[str, Any] = {"batch": batch, "setting": setting, "turns": len(measured)}
        row |= {name: statistics.median(one[name] for one in measured) for name in MEASURED}
        plain = rows[0] if rows else row
        ratios = {f"{name}_ratio": row[name] / plain[name] for name in ("seconds", "peak_mb", "tokens")}
        rows.append(row | {"losses": measured[0]["losses"]} | ratios)
    return rows


def measure_here(setting: str, batch: int, plan: Plan) -> dict[str, Any]:
    """Train some steps in this process and look at each."""
    import torch

    from vljepa.training.tracking import read_log
    from vljepa.training.trainer import Trainer

    torch.set_num_threads(1)
    seconds, walls, tokens = [], [], []
    counted: list[int] = []
    peaks: list[float] = []
    held = 0.0

    class Timed(Trainer):
        """A Trainer that looks at the clock."""

        def _train_step(self, step: int, *arguments: Any) -> None:
            nonlocal held
            if step == 0:
                for module in self.module.modules():  # the Y-Encoder's own, or losses would differ by its draws
                    if isinstance(module, torch.nn.Dropout):
                        module.p = 0.0
                self.module.register_forward_pre_hook(lambda _, given: counted.append(_texts(given[0])))
                trained = sum(one.numel() for one in self.module.parameters() if one.requires_grad)
                held = resident_mb() + 3 * 4 * trained / 2**20  # gradients and the two moments
                count_peak_from_here()
            counted.clear()
            clock, start = time.perf_counter(), time.process_time()
            super()._train_step(step, *arguments)
            seconds.append(time.process_time() - start)
            walls.append(time.perf_counter() - clock)
            tokens.append(sum(counted))

        def _save_last(self, step: int) -> None:
            peaks.append(peak_mb())  # of the steps alone: saving needs memory of its own
            super()._save_last(step)

    with tempfile.TemporaryDirectory() as folder:
        run = recipe(plan, Path(folder), batch=batch, changes=SETTINGS[setting])
        trainer = Timed(run, device="cpu")
        trainer.fit()
        losses = [line["loss"] for line in read_log(trainer.folder) if line["kind"] == "train"]
    return {
        "seconds": statistics.median(seconds[WARM_UP:]),
        "first_wall_seconds": walls[0],
        "peak_mb": peaks[0] - held,
        "tokens": statistics.median(tokens[WARM_UP:]),
        "losses": losses[:3],
    }


def recipe(plan: Plan, folder: Path, *, batch: int, changes: dict[str, dict[str, Any]]) -> Any:
    """The run: mini without dropout, so that losses can be compared."""
    from vljepa.configs import RunConfig, load_preset, validate

    model = load_preset("mini").model_dump(mode="json")
    model["y_encoder"]["target"] = "trained"
    model["predictor"]["dropout"] = 0.0
    model["residual"] |= {"dropout": 0.0, "hidden": None}
    raw: dict[str, Any] = {
        "model": model,
        "data": {
            "root": plan.data,
            "train": [
                {"name": "photos", "path": "photos/captions.train.jsonl", "weight": 2, "group": "captions"},
                {"name": "emoji", "path": "emoji/captions.validation.jsonl", "weight": 1, "group": "captions"},
                {"name": "photo questions", "path": "photos/questions.train.jsonl", "weight": 1, "group": "questions"},
            ],
            "cache": {"folder": plan.cache},
        },
        "optim": {"lr": 1e-5},
        "train": {
            "output": str(folder / "run"),
            "steps": plan.steps + WARM_UP,
            "batch_size": batch,
            "precision": "fp32",
            "log_every": 1,
        },
    }
    for section, values in changes.items():
        raw[section] = raw.get(section, {}) | values
    return validate(RunConfig, raw, where="eval.bench.step")


def _texts(batches: Sequence[Batch]) -> int:
    """Tokens of queries and targets, padding included."""
    texts = (one for batch in batches for one in (batch.query, batch.target) if one is not None)
    return sum(one.ids_BL.numel() for one in texts)
