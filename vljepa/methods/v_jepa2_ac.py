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
from vljepa.methods.protocol import Inputs, TrainingModule
from vljepa.methods.video.trajectories import TrajectoryBatches, TrajectoryMethod, evenly, joined
from vljepa.models.layers.sharded import whole_state
from vljepa.models.types import Batch
from vljepa.models.video.action_world import ActionWorld
from vljepa.objectives import gather_with_gradient
from vljepa.processing.frames import FrameProcessor
from vljepa.validation.tasks import Metrics


class VJepa2ACMethod(TrajectoryMethod):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "v_jepa2_ac"
    model: ActionWorld

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None or isinstance(given, ActionWorld)
        super().__init__(run, given=given)

    @property
    def refused(self) -> Mapping[str, Any]:
        """See `TrajectoryMethod`."""
        return {"model.predictor.clips": self.config.predictor.clips}

    @property
    def config(self) -> VJEPA2ACConfig:
        """What is trained."""
        config = self.given.config if isinstance(self.given, ActionWorld) else self.run.model
        assert isinstance(config, VJEPA2ACConfig)
        return config

    def new_model(self) -> ActionWorld:
        """See `TrajectoryMethod`: with the encoder, which is loaded for it."""
        return new_action_world(self.config)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> ActionWorld:
        """A new model or the given one, with the checkpoint's predictor.

        Raises:
            CheckpointError: The checkpoint is of another model.
        """
        self.model = self.given if isinstance(self.given, ActionWorld) else self.new_model()
        if checkpoint is not None:
            read_into(self.model, checkpoint)
        return self.model.to(device)

    def prepare(self, model: ActionWorld, *, shard: tuple[int, int]) -> Inputs:
        """Open all sources.

        Raises:
            DataError: A source is not usable.
            ConfigError: Its actions or states are of another width, or it is shorter than a rollout.
        """
        run, config = self.run, model.config
        train, held_out = (
            self.open(some, actions=config.action_width, states=config.state_width)
            for some in (run.data.train, run.data.validation)
        )
        self.check_length([*train, *held_out], rollout=config.rollout)
        batches = TrajectoryBatches(
            train,
            run=run,
            frames=FrameProcessor(model.x_encoder.config.image).frames,
            steps=min(one.steps for one in train),
            states=config.state_width is not None,
            shard=shard,
        )
        self.panels = {
            source.name: [batches.piece(one, row, 0) for row in evenly(one)]
            for source, one in zip(run.data.validation, held_out, strict=True)
        }
        return Inputs(batches=batches, workers=run.data.workers)

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
            for batch in joined(pieces):
                for key, values in self._measured(batch.to(device)).items():
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
