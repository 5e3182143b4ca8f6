"""What methods that learn of trajectories share: pieces of them by step, and what their recipes may ask for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.data.sampling import StepSampler, choose
from vljepa.data.sources import source_path
from vljepa.data.trajectories import Trajectories
from vljepa.errors import ConfigError
from vljepa.methods.protocol import Method, Scope
from vljepa.methods.refusals import refuse_foreign
from vljepa.models.types import Batch

PANEL = 64
"""Trajectories of a validation, evenly spaced over the source."""
_AT_ONCE = 8
_STARTS = 2**31


class TrajectoryBatches(torch.utils.data.Dataset[list[Group]]):
    """Pieces of trajectories by step: a pure function of (seed, step).

    Args:
        sources: Trajectories of each source.
        run: The recipe.
        frames: From frames as they are stored to what the encoder sees, [T, C, H, W].
        steps: Actions of a piece; from where on is drawn.
        states: Whether the model knows states.
        shard: Number of this process and of all.

    Raises:
        ConfigError: There are fewer samples than processes, or a source gets none.
    """

    def __init__(
        self,
        sources: Sequence[Trajectories],
        *,
        run: RunConfig,
        frames: Callable[[list[Any]], Tensor],
        steps: int,
        states: bool,
        shard: tuple[int, int],
    ) -> None:
        if run.train.batch_size < shard[1]:
            raise ConfigError(
                f"train.batch_size = {run.train.batch_size} is fewer than the {shard[1]} processes.", fix="raise it."
            )
        self.sources, self.frames, self.steps, self.states, self.shard = sources, frames, steps, states, shard
        self.seed, self.size = run.train.seed, run.train.batch_size
        self.sampler = StepSampler(
            [len(one) for one in sources],
            weights=[one.weight for one in run.data.train],
            names=[one.name for one in run.data.train],
            batch_size=self.size,
            seed=self.seed,
        )

    def __getitem__(self, step: int) -> list[Group]:
        number, count = self.shard
        pieces = []
        for draw in self.sampler.batch(step)[self.size * number // count : self.size * (number + 1) // count]:
            source = self.sources[draw.source]
            start = choose(_STARTS, seed=self.seed, draw=draw, purpose="view") % (source.steps - self.steps + 1)
            pieces.append(self.piece(source, draw.row, start))
        return [Group(Batch.joined(pieces))]

    def piece(self, source: Trajectories, row: int, start: int) -> Batch:
        """One trajectory's actions from `start` on, `steps` or all, and the frames before, between and after them."""
        end = min(start + self.steps, source.steps)
        states = None if source.states is None or not self.states else _tensor(source.states[row, start : end + 1])
        return Batch(
            pixels_BTCHW=self.frames(list(source.frames[row, start : end + 1])).unsqueeze(0),
            actions_BTA=_tensor(source.actions[row, start:end]),
            states_BTS=states,
        )

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        sizes = [[len(one), one.steps] for one in self.sources]
        return {"seed": self.seed, "rows": sizes, "steps": self.steps, "samples per step": list(self.sampler.quotas)}


class TrajectoryMethod(Method):
    """A method that learns where actions lead. See `Method`; the parts that all of them share."""

    texts = "optional"

    @property
    def refused(self) -> Mapping[str, Any]:
        """Settings of the `model` section that have no effect, by name; None where they are not set."""
        return {}

    def check(self) -> None:
        """Refuse what the recipe alone shows to be impossible.

        Raises:
            ConfigError: A section of another method, or a setting without effect.
        """
        refuse_foreign(self.run, self.name, more=self.refused)

    @abstractmethod
    def new_model(self) -> nn.Module:
        """An untrained model of the recipe."""

    def scope(self) -> Scope:
        """Sizes of the model, and trajectories of the sources that are there."""
        places = [Path(source_path(one, self.run.data.root)) for one in self.run.data.train]
        missing = tuple(str(place) for place in places if not place.exists())
        found = Scope.of(self.new_model())
        rows = None if missing else sum(len(Trajectories.open(place)) for place in places)
        return Scope(rows=rows, missing=missing, trained=found.trained, parameters=found.parameters)

    def open(self, sources: Sequence[Any], *, actions: int, states: int | None) -> list[Trajectories]:
        """Trajectories of sources.

        Args:
            sources: Of the recipe.
            actions: Numbers of an action.
            states: Numbers of a state; None where the model knows none.

        Raises:
            DataError: One is not usable.
            ConfigError: Actions or states are of another width.
        """
        opened = []
        for source in sources:
            found = Trajectories.open(source_path(source, self.run.data.root))
            widths = (found.actions.shape[2], None if found.states is None else found.states.shape[2])
            if widths[0] != actions or (states is not None and widths[1] != states):
                raise ConfigError(
                    f"the source {source.name!r} has actions and states of {widths[0]} and {widths[1]} numbers, the "
                    f"model is for {actions} and {states}.",
                    fix="set model.action_width and model.state_width to those of the data.",
                )
            opened.append(found)
        return opened

    @staticmethod
    def check_length(sources: Sequence[Trajectories], *, rollout: int) -> None:
        """Refuse trajectories that are shorter than a rollout.

        Raises:
            ConfigError: One is.
        """
        shortest = min(one.steps for one in sources)
        if shortest < rollout:
            raise ConfigError(
                f"rollout = {rollout}, and a trajectory has {shortest} actions.", fix="lower model.rollout."
            )


def joined(pieces: Sequence[Batch]) -> Iterator[Batch]:
    """Pieces of a validation, some at a time."""
    for start in range(0, len(pieces), _AT_ONCE):
        yield Batch.joined(pieces[start : start + _AT_ONCE])


def evenly(found: Trajectories) -> range:
    """Rows of a validation: `PANEL` at most, evenly spaced over the source."""
    return range(0, len(found), -(-len(found) // PANEL))


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32)).unsqueeze(0)
