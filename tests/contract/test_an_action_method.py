"""A method of V-JEPA 2-AC's kind in one file: the next frame's latents from those so far and what is done.

A dot moves on a ring as the actions say. No other file knows the method. Random frozen towers: no number is a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.configs import PredictorConfig, RunConfig, Strict, load_preset
from vljepa.data.collate import Group
from vljepa.methods import Inputs, Method, register
from vljepa.methods.protocol import Rows, TrainingModule
from vljepa.models.predictor import Predictor
from vljepa.models.types import Batch, Latents
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer
from vljepa.validation.tasks import Metrics

PLACES, STEPS, WIDTH = 8, 5, 12


class Config(Strict):
    predictor: PredictorConfig


class World(nn.Module):
    """A frozen encoder of frames, and a predictor of the next frame's latents under an action."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(PLACES, WIDTH).requires_grad_(False)
        self.predictor = Predictor(config.predictor, vision_width=WIDTH, embed_dim=WIDTH, action_width=1)

    def latents(self, frames_BTP: Tensor) -> Latents:
        tokens = self.encoder(frames_BTP)
        return Latents(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), steps=frames_BTP.shape[1])

    def rows(self, batch: Batch) -> Rows:
        assert batch.latents is not None
        assert batch.actions_BTA is not None
        frames_BTP = batch.latents.tokens_BND
        state = self.predictor(self.latents(frames_BTP[:, :-1]), actions_BTA=batch.actions_BTA)
        return {"predicted": self.predictor.head(state), "target": self.latents(frames_BTP[:, 1:]).tokens_BND}


class Ring:
    """Where the dot is, and by how much it moves, -1 or 1. Pure in (seed, step)."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size

    def __getitem__(self, step: int) -> list[Group]:
        draw = torch.Generator().manual_seed(self.seed * 1000 + step)
        actions_BT = 2 * torch.randint(0, 2, (self.size, STEPS), generator=draw) - 1
        start_B = torch.randint(0, PLACES, (self.size, 1), generator=draw)
        places_BT = torch.cat([start_B, start_B + actions_BT.cumsum(1)], dim=1) % PLACES
        frames = nn.functional.one_hot(places_BT, PLACES).float()
        latents = Latents(frames, torch.ones(frames.shape[:2], dtype=torch.bool), steps=STEPS + 1)
        return [Group(Batch(latents=latents, actions_BTA=actions_BT.float().unsqueeze(-1)))]

    def order(self) -> dict[str, Any]:
        return {"seed": self.seed, "size": self.size}


class Actions(Method):
    name = "ring_actions"

    def build(self, checkpoint: Path | None, *, device: torch.device) -> World:
        assert isinstance(self.run.model, Config)
        self.model = World(self.run.model).to(device)
        if checkpoint is not None:
            self.load(self.model, checkpoint)
        return self.model

    def prepare(self, model: World, *, shard: tuple[int, int]) -> Inputs:
        return Inputs(batches=Ring(self.run.train.seed, self.run.train.batch_size))

    def module(self, model: World) -> TrainingModule:
        return TrainingModule(model, model.rows)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        return (rows["predicted"] - rows["target"]).abs().mean()

    @torch.no_grad()
    def validate(self) -> Metrics:
        """How often the predicted latents are nearest to the place where the dot will be."""
        self.model.eval()
        [group] = Ring(77, 64)[0]
        rows = self.model.rows(group.batch)
        places_PD = self.model.encoder(torch.eye(PLACES))
        nearest = torch.cdist(rows["predicted"], places_PD[None]).argmin(-1)
        return {"mean": float((nearest == torch.cdist(rows["target"], places_PD[None]).argmin(-1)).float().mean())}


register(Actions, config=Config)


def recipe(folder: Path, *, steps: int = 250) -> RunConfig:
    changes = {"attention": "block_causal", "output": "tokens"}
    return RunConfig.model_validate(
        {
            "method": "ring_actions",
            "model": {"predictor": load_preset("toy").predictor.model_dump(mode="json") | changes},
            "data": {"train": [{"name": "ring", "path": "made"}], "cache": None},
            "optim": {"lr": 5e-3, "warmup_steps": 10},
            "train": {"output": str(folder), "steps": steps, "batch_size": 32, "eval_every": 50, "log_every": 10},
        }
    )


def test_it_learns_where_actions_lead(tmp_path: Path) -> None:
    result = Trainer(recipe(tmp_path / "run"), device="cpu").fit()
    measured = [line["mean"] for line in read_log(tmp_path / "run") if line["kind"] == "validation"]
    assert measured[0] < 0.5, "by chance one of eight"
    assert result.metrics["mean"] > 0.8


def test_a_dry_run_plans_it(tmp_path: Path) -> None:
    run = recipe(tmp_path / "run")
    plan = plan_run(run)
    model = World(run.model)  # type: ignore[arg-type]
    predictor = sum(one.numel() for one in model.predictor.parameters())
    assert (plan.steps, plan.batch_size, plan.samples) == (250, 32, 8000)
    assert (plan.rows, plan.missing, plan.parts) == (None, (), "")
    assert (plan.trained, plan.parameters) == (predictor, predictor + PLACES * WIDTH + WIDTH)
    assert not (tmp_path / "run").exists()


def test_a_step_sees_its_own_action_and_nothing_of_later_steps(tmp_path: Path) -> None:
    model = World(Config(predictor=recipe(tmp_path).model.predictor)).eval()  # type: ignore[union-attr,attr-defined]
    frames, actions = torch.randn(1, STEPS, PLACES), torch.randn(1, STEPS, 1)

    def state(frames: Tensor, actions: Tensor) -> Tensor:
        found: Tensor = model.predictor(model.latents(frames), actions_BTA=actions)
        return found

    before = state(frames, actions)
    later, acted = frames.clone(), actions.clone()
    later[0, 3:] += 1.0
    acted[0, 2] += 1.0
    torch.testing.assert_close(state(later, actions)[:, :3], before[:, :3])
    assert (state(later, actions)[:, 3:] - before[:, 3:]).abs().max() > 1e-3
    torch.testing.assert_close(state(frames, acted)[:, :2], before[:, :2])
    assert (state(frames, acted)[:, 2] - before[:, 2]).abs().max() > 1e-3, "the action of the step itself is seen"
