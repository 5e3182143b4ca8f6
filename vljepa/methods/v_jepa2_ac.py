"""V-JEPA 2-AC: a frozen encoder's latents of the next frame, from those so far, actions and states.

Source: arXiv 2506.09985, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vljepa.checkpoint.v_jepa2_ac import config_to_save, new_action_world, read_into, write_action_world
from vljepa.configs import RunConfig, VJEPA2ACConfig
from vljepa.data.collate import Group
from vljepa.data.sampling import StepSampler, choose
from vljepa.data.sources import source_path
from vljepa.data.trajectories import Trajectories
from vljepa.errors import ConfigError
from vljepa.methods.protocol import Inputs, Method, Scope, TrainingModule
from vljepa.models.layers.sharded import whole_state
from vljepa.models.types import Batch
from vljepa.models.video.action_world import ActionWorld
from vljepa.objectives import gather_with_gradient
from vljepa.processing.frames import FrameProcessor
from vljepa.validation.tasks import Metrics

PANEL = 64
"""Trajectories of a validation, evenly spaced over the source."""
_AT_ONCE = 8
_STARTS = 2**31


class TrajectoryBatches(torch.utils.data.Dataset[list[Group]]):
    """Pieces of trajectories by step: a pure function of (seed, step).

    Args:
        sources: Trajectories of each source.
        run: The recipe.
        frames: What the encoder sees of a frame.
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
        frames: FrameProcessor,
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
            pixels_BTCHW=self.frames.frames(list(source.frames[row, start : end + 1])).unsqueeze(0),
            actions_BTA=_tensor(source.actions[row, start:end]),
            states_BTS=states,
        )

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        sizes = [[len(one), one.steps] for one in self.sources]
        return {"seed": self.seed, "rows": sizes, "steps": self.steps, "samples per step": list(self.sampler.quotas)}


class VJepa2ACMethod(Method):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "v_jepa2_ac"
    texts = "optional"
    model: ActionWorld

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None or isinstance(given, ActionWorld)
        super().__init__(run, given=given)

    def check(self) -> None:
        """Refuse what the recipe alone shows to be impossible.

        Raises:
            ConfigError: A section of another method, or a setting without effect.
        """
        run = self.run
        given = {name: getattr(run, name) for name in ("clips", "lora", "start")}
        given |= {"data.replay": run.data.replay, "model.predictor.clips": self.config.predictor.clips}
        given |= {f"train.{name}": getattr(run.train, name) or None for name in ("gradient_checkpointing", "compile")}
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"{name!r} is not there for v_jepa2_ac.", fix=f"remove {name!r}.")
        if run.train.epochs is not None:
            raise ConfigError("train.epochs is not there for v_jepa2_ac.", fix="set train.steps.")

    @property
    def config(self) -> VJEPA2ACConfig:
        """What is trained."""
        config = self.given.config if isinstance(self.given, ActionWorld) else self.run.model
        assert isinstance(config, VJEPA2ACConfig)
        return config

    def scope(self) -> Scope:
        """Sizes of the model, whose encoder is loaded for it, and trajectories of the sources that are there."""
        places = [Path(source_path(one, self.run.data.root)) for one in self.run.data.train]
        missing = tuple(str(place) for place in places if not place.exists())
        found = Scope.of(new_action_world(self.config))
        rows = None if missing else sum(len(Trajectories.open(place)) for place in places)
        return Scope(rows=rows, missing=missing, trained=found.trained, parameters=found.parameters)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> ActionWorld:
        """A new model or the given one, with the checkpoint's predictor.

        Raises:
            CheckpointError: The checkpoint is of another model.
        """
        self.model = self.given if isinstance(self.given, ActionWorld) else new_action_world(self.config)
        if checkpoint is not None:
            read_into(self.model, checkpoint)
        return self.model.to(device)

    def prepare(self, model: ActionWorld, *, shard: tuple[int, int]) -> Inputs:
        """Open all sources.

        Raises:
            DataError: A source is not usable.
            ConfigError: Its actions or states are of another width, or it is shorter than a rollout.
        """
        run, frames = self.run, FrameProcessor(model.x_encoder.config.image)
        train, held_out = (self._open(some, model) for some in (run.data.train, run.data.validation))
        shortest, rollout = min(one.steps for one in [*train, *held_out]), model.config.rollout
        if shortest < rollout:
            raise ConfigError(
                f"rollout = {rollout}, and a trajectory has {shortest} actions.", fix="lower model.rollout."
            )
        steps, states = min(one.steps for one in train), model.config.state_width is not None
        batches = TrajectoryBatches(train, run=run, frames=frames, steps=steps, states=states, shard=shard)
        self.panels = {
            source.name: [batches.piece(one, row, 0) for row in range(0, len(one), -(-len(one) // PANEL))]
            for source, one in zip(run.data.validation, held_out, strict=True)
        }
        return Inputs(batches=batches, workers=run.data.workers)

    def _open(self, sources: Sequence[Any], model: ActionWorld) -> list[Trajectories]:
        opened = []
        for source in sources:
            found = Trajectories.open(source_path(source, self.run.data.root))
            widths = (found.actions.shape[2], None if found.states is None else found.states.shape[2])
            wanted = (model.config.action_width, model.config.state_width)
            if widths[0] != wanted[0] or (wanted[1] is not None and widths[1] != wanted[1]):
                raise ConfigError(
                    f"the source {source.name!r} has actions and states of {widths[0]} and {widths[1]} numbers, the "
                    f"model is for {wanted[0]} and {wanted[1]}.",
                    fix="set model.action_width and model.state_width to those of the data.",
                )
            opened.append(found)
        return opened

    def module(self, model: ActionWorld) -> TrainingModule:
        """The model; its rows are errors of trajectories."""
        return TrainingModule(model, model.forward)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """Teacher forcing plus rollout, with equal weights: the mean over the trajectories of all processes."""
        del batches, step
        return torch.stack([gather_with_gradient(one).mean() for one in rows.values()]).sum()

    @torch.no_grad()
    def validate(self) -> Metrics:
        """Of every source `error`, `rollout_error` and `copy_error`, that of predicting that nothing changes.

        `mean` is the mean over sources of how much smaller than `copy_error` the error is, from 1 (perfect) downwards.
        """
        was_training = self.model.training
        self.model.eval()
        metrics: Metrics = {}
        gained = []
        device = next(self.model.parameters()).device
        for name, pieces in self.panels.items():
            measured: dict[str, list[Tensor]] = {}
            for start in range(0, len(pieces), _AT_ONCE):
                for key, values in self._measured(Batch.joined(pieces[start : start + _AT_ONCE]).to(device)).items():
                    measured.setdefault(key, []).append(values)
            found = {key: float(torch.cat(values).mean()) for key, values in measured.items()}
            metrics |= {f"{name}/{key}": value for key, value in found.items()}
            gained.append(1 - found["error"] / max(found["copy_error"], 1e-12))
        self.model.train(was_training)
        if gained:
            metrics["mean"] = float(np.mean(gained))
        return metrics

    def _measured(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.pixels_BTCHW is not None
        assert batch.actions_BTA is not None
        latents = self.model.encode(batch.pixels_BTCHW)
        copied_B = (latents[:, 1:] - latents[:, :-1]).abs().mean((1, 2, 3))
        return self.model.errors(latents, batch.actions_BTA, batch.states_BTS) | {"copy_error": copied_B}

    def gather(self, model: ActionWorld, *, keep: bool) -> Callable[[Path], object]:
        """See `Method`: the predictor's weights; the encoder is named, and known by its fingerprint."""
        state, about = whole_state(model.predictor.state_dict(), keep=keep), config_to_save(model)
        return partial(write_action_world, about, state)

    def load(self, model: ActionWorld, folder: Path) -> None:
        """See `Method`."""
        read_into(model, folder)


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32)).unsqueeze(0)
