"""Runs a recipe of several stages: each starts from the weights that the one before ended with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vljepa.checkpoint.digests import model_digest
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import RunConfig
from vljepa.errors import CheckpointError
from vljepa.training.result import TrainResult
from vljepa.training.tracking import announce
from vljepa.training.trainer import Trainer

START_FILE = "start.txt"
"""In a stage's folder: the hash of the model that it started from."""


def train_stages(stages: Mapping[str, RunConfig], *, device: str | None = None) -> TrainResult:
    """Train the stages of a recipe in order; what is finished is skipped, what was interrupted goes on exactly.

    A stage starts from the `best` model of the one before, or from its `last` when nothing was validated, with a new
    optimizer, a new order of samples and new parameters of its objective (the bias of `sigmoid`, the head of
    `alignment`), which are no part of a model.

    Args:
        stages: From `vljepa.configs.load_stages`.
        device: As of `Trainer`.

    Returns:
        Result of the last stage.

    Raises:
        CheckpointError: A stage that was begun started from another model than the stage before it now has.
    """
    result: TrainResult | None = None
    for number, (name, run) in enumerate(stages.items(), start=1):
        if len(stages) > 1:
            announce(f"stage {number} of {len(stages)}: {name}")
        model = None
        if result is not None:
            model = VLJEPA.from_pretrained(result.model_folder)
            _check_start(Path(run.train.output), model, before=result.model_folder)
        result = Trainer(run, model=model, device=device).fit()
    assert result is not None
    return result


def _check_start(folder: Path, model: VLJEPA, *, before: Path) -> None:
    """Write down the model that a stage starts from, or refuse another than was written down."""
    digest, file = model_digest(model), folder / START_FILE
    if file.is_file():
        if file.read_text(encoding="ascii") != digest:
            raise CheckpointError(
                f"{str(folder)!r} holds a stage that started from another model than {str(before)!r} is now.",
                fix=f"delete {str(folder)!r} to train the stage anew, or choose another train.output.",
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{START_FILE}.{os.getpid()}"  # every process writes the same
    half.write_text(digest, encoding="ascii")
    half.replace(file)
