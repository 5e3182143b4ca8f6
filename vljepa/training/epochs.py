"""How many steps a run has: as many as its recipe says, or as its epochs come to."""

from __future__ import annotations

import math

from vljepa.configs import DecoderRunConfig, RunConfig, TrainConfig
from vljepa.data.shards import is_shards
from vljepa.data.sources import Texts, load_source
from vljepa.errors import ConfigError

STEPS = 1000
"""Of a recipe that says nothing."""

Run = RunConfig | DecoderRunConfig


def with_steps(run: Run, *, texts: Texts = "required") -> Run:
    """The recipe with its number of steps; the rows of its sources are read and counted where it gives epochs.

    Args:
        run: The recipe.
        texts: Whether rows without a target text count.

    Raises:
        ConfigError: Epochs of a source that is read shard by shard.
        DataError: A source is not usable.
    """
    if run.train.steps is not None:
        return run
    rows = 0
    if run.train.epochs is not None:
        rows = sum(_count(run, number, texts) for number in range(len(run.data.train)))
    train = run.train.model_copy(update={"steps": steps_of(run.train, rows=rows)})
    return run.model_copy(update={"train": train})


def steps_of(train: TrainConfig, *, rows: int) -> int:
    """Steps of a run on so many rows.

    Example:
        >>> steps_of(TrainConfig(epochs=10, batch_size=100), rows=4936)
        494
        >>> steps_of(TrainConfig(steps=20, epochs=10), rows=4936)
        20
    """
    if train.steps is not None:
        return train.steps
    return STEPS if train.epochs is None else math.ceil(train.epochs * rows / train.batch_size)


def _count(run: Run, number: int, texts: Texts) -> int:
    source = run.data.train[number]
    if is_shards(source.path):
        raise ConfigError(
            f"train.epochs = {run.train.epochs:g} needs the number of rows of the source {source.name!r}, which is "
            "read shard by shard.",
            fix="set train.steps.",
        )
    return len(load_source(source, root=run.data.root, texts=texts, max_skipped=run.data.max_skipped))
