"""SIGKILL at random instants of real training processes: ``python eval/run.py bench.kill trials=60``.

Half of the kills come at any time, half within the first milliseconds of a save. After each: does the newest checkpoint
load, and how many of the steps that were logged are lost? A run that is started again after every kill has to end with
the weights, the log and the result of one that nobody killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from vljepa.checkpoint.saving import read_model
from vljepa.configs import RunConfig, load_preset, validate
from vljepa.training.checkpoint import find_intact, load_state
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

SAVE_EVERY = 3
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220), "black": (0, 0, 0)}


def measure(*, trials: int = 60, seed: int = 0) -> dict[str, Any]:
    """Kill in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return kill_trials(Path(folder), trials=trials, seed=seed)


def kill_trials(folder: Path, *, trials: int, seed: int, steps: int = 30) -> dict[str, Any]:
    """Kill `trials` processes in runs under `folder`, and count what that did.

    Raises:
        AssertionError: A checkpoint did not load, or a run ended otherwise than the one that nobody killed.
    """
    write_images(folder / "data")
    draw, began = random.Random(seed), time.monotonic()
    whole = recipe(folder, "whole", steps=steps)
    process = start(whole)
    process.join()
    assert process.exitcode == 0
    seconds = time.monotonic() - began
    wanted = outcome(Path(whole.train.output))
    at: Counter[str] = Counter()
    lost: list[int] = []
    runs = kills = 0
    while kills < trials:
        run = recipe(folder, f"killed{runs}", steps=steps)
        output = Path(run.train.output)
        while True:
            process = start(run)
            if kills < trials:
                wait(process, output, draw, seconds=seconds)
                process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL, process.exitcode
            kills += 1
            at[when(output)] += 1
            lost.append(steps_lost(output))
        assert outcome(output) == wanted, "another end than that of the run that nobody killed"
        runs += 1
    return {
        "kills": kills,
        "runs": runs,
        "steps": steps,
        "save_every": SAVE_EVERY,
        "seed": seed,
        "left_behind": dict(sorted(at.items())),
        "most_steps_lost": max(lost),
        "ends_equal_to_the_last_bit": runs,
        "seconds": round(time.monotonic() - began),
    }


def write_images(folder: Path) -> None:
    """A few coloured squares with captions."""
    folder.mkdir()
    rows = []
    for name, colour in COLOURS.items():
        for size in (20, 44):
            image = Image.new("RGB", (64, 64), "white")
            image.paste(colour, (8, 8, 8 + size, 8 + size))
            image.save(folder / f"{name}{size}.png")
            text = f"a {'small' if size == 20 else 'large'} {name} square"
            rows.append({"image": f"{name}{size}.png", "text": [text, f"{text} on white"]})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def recipe(folder: Path, output: str, *, steps: int) -> RunConfig:
    """The toy model with dropout and an average of the weights, on stored views, saved often."""
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.2
    source = {"name": "squares", "path": "captions.jsonl"}
    cache = {"folder": str(folder / output / "cache"), "views": 2}
    raw = {
        "model": model,
        "data": {"root": str(folder / "data"), "train": [source], "validation": [source], "cache": cache},
        "optim": {"lr": 3e-3, "warmup_steps": 2},
        "train": {
            "output": str(folder / output / "run"),
            "steps": steps,
            "batch_size": 4,
            "ema": 0.8,
            "log_every": 1,
            "eval_every": 10,
            "save_every": SAVE_EVERY,
        },
    }
    return validate(RunConfig, raw, where="eval.bench.kill")


def start(run: RunConfig) -> BaseProcess:
    """A new process that trains; forked from a server that has the imports behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vljepa.training.trainer"])
    process = context.Process(target=_train, args=(run,))
    process.start()
    return process


def _train(run: RunConfig) -> None:
    torch.set_num_threads(1)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        Trainer(run, device="cpu").fit()


def wait(process: BaseProcess, output: Path, draw: random.Random, *, seconds: float) -> None:
    """Until the moment of the kill: any time of a run, or up to 10 ms into one of the next few saves."""
    until = time.monotonic() + draw.uniform(0, seconds)
    saves = draw.randint(1, 4) if draw.random() < 0.5 else 0
    known = _halves(output)  # that an earlier kill left
    while saves and process.is_alive():
        time.sleep(1e-4)
        if new := _halves(output) - known:
            saves -= 1
            known |= new
            until = time.monotonic() + draw.uniform(0, 0.01)
    while process.is_alive() and time.monotonic() < until:
        time.sleep(1e-4)


def _halves(output: Path) -> set[int]:
    """Versions of the checkpoints that are being written or were left behind."""
    found: set[int] = set()
    for name in (".last.new", ".best.new"):
        with suppress(OSError):
            found.add((output / name).stat().st_ino)
    return found


def when(output: Path) -> str:
    """What the kill left behind."""
    left = [name for name in (".last.new", ".last.old", ".best.new", ".best.old") if (output / name).exists()]
    return " ".join(left) or ("between saves" if (output / "last").exists() else "before the first save")


def steps_lost(output: Path) -> int:
    """Steps that were logged and are not in the newest checkpoint, which has to load."""
    logged = max((line["step"] for line in read_log(output) if line["kind"] == "train"), default=0)
    saved, best_step = 0, None
    last, best = find_intact(output / "last"), find_intact(output / "best")
    if last is not None:
        state = load_state(last, device=torch.device("cpu"))
        read_model(last)
        saved, best_step = state["step"], state["best"]["step"]
    if best is not None:
        read_model(best)
    assert best is not None or best_step is None
    assert logged - saved <= SAVE_EVERY, (logged, saved)
    return max(0, logged - saved)


def outcome(output: Path) -> dict[str, Any]:
    """Everything that a run computes: losses, metrics, and the tensors as bytes."""
    log = [line for line in read_log(output) if line["kind"] in ("train", "validation")]
    for line in log:
        line.pop("samples_per_second", None)
    weights = {
        f"{name}/{key}": tensor.numpy().tobytes()
        for name in ("last", "best")
        for key, tensor in load_file(output / name / "model.safetensors").items()
    }
    metrics: Sequence[Any] = json.loads((output / "result.json").read_text(encoding="utf-8"))["metrics"]
    return {"log": log, "weights": weights, "metrics": metrics}
