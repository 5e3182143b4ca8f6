"""EB-JEPA's action-conditioned world model: encoder and predictor are trained together, on single-vector latents.

Source: arXiv 2602.03604; SIGReg in place of variance and covariance as in LeWorldModel (arXiv 2603.19312).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.checkpoint.eb_jepa import read_into, write_vector_world
from vljepa.configs import EBJEPAConfig, RunConfig
from vljepa.methods.protocol import Inputs, TrainingModule
from vljepa.methods.video.trajectories import TrajectoryBatches, TrajectoryMethod, evenly, joined
from vljepa.metrics.collapse import effective_rank
from vljepa.models.layers.sharded import whole_state
from vljepa.models.types import Batch
from vljepa.models.video.vector_world import VectorWorld
from vljepa.objectives import covariance, gather_with_gradient, sigreg, variance_hinge
from vljepa.validation.tasks import Metrics


class EBJepaMethod(TrajectoryMethod):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "eb_jepa"
    model: VectorWorld

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None or isinstance(given, VectorWorld)
        super().__init__(run, given=given)

    @property
    def config(self) -> EBJEPAConfig:
        """What is trained."""
        config = self.given.config if isinstance(self.given, VectorWorld) else self.run.model
        assert isinstance(config, EBJEPAConfig)
        return config

    def new_model(self) -> VectorWorld:
        """See `TrajectoryMethod`."""
        return VectorWorld(self.config)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> VectorWorld:
        """A new model or the given one, with the checkpoint's weights.

        Raises:
            CheckpointError: The checkpoint is of another model.
        """
        self.model = self.given if isinstance(self.given, VectorWorld) else self.new_model()
        if checkpoint is not None:
            read_into(self.model, checkpoint)
        return self.model.to(device)

    def prepare(self, model: VectorWorld, *, shard: tuple[int, int]) -> Inputs:
        """Open all sources.

        Raises:
            DataError: A source is not usable.
            ConfigError: Its actions are of another width, or it is shorter than a rollout.
        """
        run, config = self.run, model.config
        train, held_out = (
            self.open(some, actions=config.action_width, states=None) for some in (run.data.train, run.data.validation)
        )
        self.check_length([*train, *held_out], rollout=config.rollout)
        batches = TrajectoryBatches(
            train, run=run, frames=model.frames, steps=config.rollout, states=False, shard=shard
        )
        self.panels = {
            source.name: [batches.piece(one, row, 0) for row in evenly(one)]
            for source, one in zip(run.data.validation, held_out, strict=True)
        }
        return Inputs(batches=batches, workers=run.data.workers)

    def module(self, model: VectorWorld) -> TrainingModule:
        """The model; its rows are latents, and what was predicted and read of them."""
        return TrainingModule(model, model.forward)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """Weighted sum of the terms of `config.losses`, over the trajectories of all processes."""
        del batches
        gathered = {name: gather_with_gradient(one) for name, one in rows.items()}
        weights = self.config.losses.model_dump()
        if step < self.config.inverse_dynamics_steps:
            weights = dict.fromkeys(weights, 0.0) | {"inverse_dynamics": weights["inverse_dynamics"]}
        found = terms(gathered, seed=self.run.train.seed + step)
        return torch.stack([weight * found[name]() for name, weight in weights.items() if weight]).sum()

    @torch.no_grad()
    def validate(self) -> Metrics:
        """Of every source the terms by name, `copy_error` (predicting that nothing changes), and the latents' rank.

        `mean` is the mean over sources of how much smaller than `copy_error` the error of the last step of a rollout
        is, from 1 (perfect) downwards.
        """
        was_training = self.model.training
        self.model.eval()
        metrics: Metrics = {}
        gained = []
        device = next(self.model.parameters()).device
        for name, pieces in self.panels.items():
            parts = [self.model(batch.to(device)) for batch in joined(pieces)]
            rows = {key: torch.cat([one[key] for one in parts]) for key in parts[0]}
            found = {key: float(value()) for key, value in terms(rows, seed=0).items()}
            found["error"] = float(F.mse_loss(rows["predicted"][:, -1], rows["latents"][:, -1]))
            found["copy_error"] = float(F.mse_loss(rows["latents"][:, 0], rows["latents"][:, -1]))
            found["effective_rank"] = float(effective_rank(rows["latents"].flatten(0, 1).cpu().numpy()))
            metrics |= {f"{name}/{key}": value for key, value in found.items()}
            gained.append(1 - found["error"] / max(found["copy_error"], 1e-12))
        self.model.train(was_training)
        if gained:
            metrics["mean"] = sum(gained) / len(gained)
        return metrics

    def gather(self, model: VectorWorld, *, keep: bool) -> Callable[[Path], object]:
        """See `Method`."""
        state, about = whole_state(model.state_dict(), keep=keep), json.loads(model.config.model_dump_json())
        return lambda folder: write_vector_world(about, state, folder)

    def load(self, model: VectorWorld, folder: Path) -> None:
        """See `Method`."""
        read_into(model, folder)


def terms(rows: Mapping[str, Tensor], *, seed: int) -> dict[str, Callable[[], Tensor]]:
    """What is minimised, by the names of `EBJEPALosses`, each computed when it is asked for.

    Args:
        rows: As of `VectorWorld.forward`.
        seed: Of SIGReg's directions.
    """
    latents_BTD, every_ND = rows["latents"], rows["latents"].flatten(0, 1)
    return {
        "prediction": lambda: F.mse_loss(rows["predicted"], latents_BTD[:, 1:]),
        "variance": lambda: variance_hinge(every_ND),
        "covariance": lambda: covariance(every_ND),
        "time_similarity": lambda: F.mse_loss(latents_BTD[:, 1:], latents_BTD[:, :-1]),
        "inverse_dynamics": lambda: F.mse_loss(rows["read"], rows["done"]),
        "sigreg": lambda: sigreg(every_ND / every_ND.shape[1] ** 0.5, seed=seed),
    }
