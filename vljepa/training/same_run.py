"""Is the run in an output folder the one that the recipe asks for? Only then may it be continued or given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vljepa.configs import DecoderRunConfig, RunConfig, validate
from vljepa.data.processes import from_all_processes
from vljepa.data.shards import is_shards, shown
from vljepa.errors import CheckpointError, ConfigError
from vljepa.training.checkpoint import identity_of, write_whole

CONFIG_FILE = "config.yaml"

_LATE = {
    f"model.{slot}.part.{late}" for slot in ("x_encoder", "predictor", "y_encoder") for late in ("config", "sha256")
}

FREE = _LATE | {
    "train.output",
    "train.resume",
    "train.log_every",
    "train.gradient_checkpointing",
    "train.save_every",
    "data.workers",
    "data.cache.folder",
    "data.shards",
    "model.calibration",
}
"""Keys that change where things are and what is printed, never the numbers, and those that are filled in late."""

FREE_TO_RESUME = {"train.steps", "train.epochs", "train.patience", "train.ema", "train.eval_every", "train.spike"}
"""Keys that may change when a run goes on; a finished run would ignore them."""


Run = RunConfig | DecoderRunConfig


def write_config(run: Run, folder: Path) -> None:
    """Write config.yaml, whole or not at all."""
    write_whole(folder / CONFIG_FILE, yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))


def check_same_run(run: Run, folder: Path, *, finished: bool) -> None:
    """Refuse a recipe that is not that of the run in `folder`.

    Args:
        run: What is asked for.
        folder: Output with a checkpoint in it.
        finished: The run there is complete, so that no change at all would have an effect.

    Raises:
        CheckpointError: A key differs, or the folder has no readable config.yaml to tell.
    """
    before, now = dict(_leaves(_kept(folder, type(run)))), dict(_leaves(run.model_dump(mode="json")))
    free = FREE if finished else FREE | FREE_TO_RESUME
    for key in [*now, *before]:
        old, new = before.get(key), now.get(key)
        if old != new and not any(key == one or key.startswith(f"{one}.") for one in free):
            raise CheckpointError(
                f"{str(folder)!r} holds a run with {key} = {old!r}, now {new!r}.",
                fix=f"choose another train.output, or put {key} back.",
            )


def check_same_start(checkpoint: Path | None, *, finished: bool, folder: Path) -> None:
    """Refuse processes that would begin at different places; all must ask at the same place.

    Only the first process writes checkpoints, so machines without a common disk find others, or none: each would go its
    own way through the steps, and what they average would belong to different ones.

    Args:
        checkpoint: What this process goes on from; None for the beginning.
        finished: Whether it finds the run finished.
        folder: Output of the run.

    Raises:
        CheckpointError: In every process, with what each has found.
    """
    here = (finished, *identity_of(checkpoint)) if checkpoint is not None else (False, 0, "")
    found = from_all_processes(here)
    if len(set(found)) > 1:
        told = ", ".join(
            f"process {number} {_start(*start)}" for number, start in enumerate(found) if start != found[number - 1]
        )
        raise CheckpointError(
            f"the processes of this run find different checkpoints in {str(folder)!r}: {told}.",
            fix="put train.output on a disk that all machines have in common, or copy the first machine's folder to "
            "all others before the run goes on.",
        )


def _start(finished: bool, step: int, digest: str) -> str:
    if finished:
        return "a finished run"
    return f"step {step} ({digest[:8]})" if digest else "none"


def _kept(folder: Path, kind: type[Run]) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return validate(kind, raw, where=str(path)).model_dump(mode="json")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigError, RecursionError) as error:
        summary = str(error).replace("\n", " ")
        raise CheckpointError(
            f"{str(folder)!r} holds a checkpoint without a readable {CONFIG_FILE} of its run: {summary}",
            fix="choose another train.output, or put the file back.",
        ) from error


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested dicts and lists, in order; empty ones are values."""
    if isinstance(value, dict | list) and value:
        for name, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    else:
        # A signature in an address may be renewed, and is nothing to be shown.
        yield key, shown(value) if isinstance(value, str) and is_shards(value) else value
