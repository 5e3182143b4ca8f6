"""The method v_jepa2_ac: what sees what, the right indices of a rollout, the loop, and planning with what it learns.

The frozen encoder is random and tiny: what is tested is the method, and no number is a result.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.contract.test_v_jepa_method import MODEL as V_JEPA
from vljepa.checkpoint.encoders import load_encoder
from vljepa.checkpoint.v_jepa import write_v_jepa
from vljepa.checkpoint.v_jepa2_ac import read_action_world, read_into
from vljepa.configs import RunConfig, VJEPA2ACConfig, VJEPAConfig, load_preset
from vljepa.data.trajectories import Trajectories
from vljepa.data.worlds import two_rooms
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.methods.v_jepa2_ac import TrajectoryBatches
from vljepa.models.types import Batch
from vljepa.models.video.action_world import ActionWorld
from vljepa.models.video.v_jepa import VJEPA
from vljepa.planning.action_world import ActionWorldEnergy
from vljepa.planning.bounds import Ball
from vljepa.planning.policies import PlanningPolicy
from vljepa.planning.solvers import CEM
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

STEPS = 4


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A V-JEPA of 32 pixels: 8 x 8 places of one tubelet, pooled to 4 x 4."""
    folder = tmp_path_factory.mktemp("encoder") / "v_jepa"
    torch.manual_seed(0)
    config = VJEPAConfig.model_validate(V_JEPA)
    write_v_jepa(config, VJEPA(config).state_dict(), folder)
    return f"v_jepa:{folder}"


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories")
    random = np.random.default_rng(0)
    walls = two_rooms.Walls.fixed(32)
    places, actions = two_rooms.wander(walls, steps=STEPS + 2, random=random)
    Trajectories(two_rooms.draw(places, walls), actions, places).save(folder)
    return folder


def model_section(encoder: str, **changes: Any) -> dict[str, Any]:
    layers = {"attention": "block_causal", "output": "tokens", "dropout": 0.0}
    predictor = load_preset("toy").predictor.model_dump(mode="json") | layers
    section = {"encoder": encoder, "pool_grid": 4, "predictor": predictor, "action_width": 2, "state_width": 2}
    return section | changes


def world(encoder: str, **changes: Any) -> ActionWorld:
    torch.manual_seed(1)
    config = VJEPA2ACConfig.model_validate(model_section(encoder, **changes))
    return ActionWorld(config, load_encoder(encoder, pool_grid=4)).eval()


def recipe(
    folder: Path, encoder: str, trajectories: Path, *, model: dict[str, Any] | None = None, **train: Any
) -> RunConfig:
    source = {"name": "rooms", "path": str(trajectories)}
    settings = {"steps": 60, "batch_size": 8, "eval_every": 30, "log_every": 1, "precision": "fp32"}
    return RunConfig.model_validate(
        {
            "method": "v_jepa2_ac",
            "model": model_section(encoder, **(model or {})),
            "data": {"train": [source], "validation": [source], "cache": None},
            "optim": {"lr": 3e-3, "warmup_steps": 5},
            "train": settings | {"output": str(folder)} | train,
        }
    )


def sample(model: ActionWorld) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(2, STEPS, 16, model.x_encoder.width, generator=draw)
    return latents, torch.randn(2, STEPS, 2, generator=draw), torch.randn(2, STEPS, 2, generator=draw)


@pytest.mark.parametrize("given", ["latents", "actions", "states"])
def test_a_step_sees_all_of_itself_and_of_earlier_steps_and_nothing_later(encoder: str, given: str) -> None:
    model = world(encoder)
    latents, actions, states = sample(model)
    before = model.predict(latents, actions, states)
    changed = {"latents": latents, "actions": actions, "states": states}
    changed[given] = changed[given].clone()
    changed[given][:, 2, ..., 0] += 3.0
    after = model.predict(changed["latents"], changed["actions"], changed["states"])
    assert before.shape == latents.shape
    torch.testing.assert_close(after[:, :2], before[:, :2])
    for step in (2, 3):
        assert (after[:, step] - before[:, step]).abs().amax((1, 2)).min() > 1e-4, step
    moved_places = (after[:, 2] - before[:, 2]).abs().amax(-1)
    assert (moved_places > 1e-5).all(), "every place of the frame sees it"


def test_a_rollout_is_made_of_what_was_predicted_and_of_the_right_frames(encoder: str) -> None:
    """The published loss was wrong here: it made z3 of (z1, z3') instead of (z1, z2'), vjepa2 pull request 25."""
    model = world(encoder)
    latents, actions, states = sample(model)
    second = model.predict(latents[:, :1], actions[:, :1], states[:, :1])[:, 0]
    third = model.predict(torch.stack([latents[:, 0], second], 1), actions[:, :2], states[:, :2])[:, 1]
    rolled = model.rollout(latents[:, 0], actions[:, :2], states[:, :2])
    torch.testing.assert_close(rolled, torch.stack([second, third], 1))
    forced = model.predict(latents[:, :3], actions[:, :3], states[:, :3])
    torch.testing.assert_close(model.rollout(latents[:, 0], actions[:, :2], states[:, :2], second=forced[:, 0]), rolled)
    published = model.predict(torch.stack([latents[:, 0], forced[:, 1]], 1), actions[:, :2], states[:, :2])[:, 1]
    assert (published - third).abs().max() > 1e-3, "the control: the wrong index gives another frame"


def test_the_loss_is_teacher_forcing_and_a_rollout_of_two(encoder: str) -> None:
    model = world(encoder)
    draw = torch.Generator().manual_seed(0)
    pixels, actions = torch.rand(2, STEPS + 1, 3, 32, 32, generator=draw), torch.randn(2, STEPS, 2, generator=draw)
    states = torch.randn(2, STEPS + 1, 2, generator=draw)
    rows = model(Batch(pixels_BTCHW=pixels, actions_BTA=actions, states_BTS=states))
    latents = model.encode(pixels)
    torch.testing.assert_close(latents.mean(-1), torch.zeros(latents.shape[:-1]), atol=1e-5, rtol=0)
    forced = model.predict(latents[:, :-1], actions, states[:, :-1])
    rolled = model.rollout(latents[:, 0], actions[:, :2], states[:, :2])
    torch.testing.assert_close(rows["error"], (forced - latents[:, 1:]).abs().mean((1, 2, 3)))
    torch.testing.assert_close(rows["rollout_error"], (rolled - latents[:, 1:3]).abs().mean((1, 2, 3)))
    assert "rollout_error" not in world(encoder, rollout=1)(
        Batch(pixels_BTCHW=pixels, actions_BTA=actions, states_BTS=states)
    )


def test_it_learns_where_actions_lead(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    run = recipe(tmp_path / "run", encoder, trajectories)
    result = Trainer(run, device="cpu").fit()
    losses = [line["loss"] for line in read_log(tmp_path / "run") if line["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert result.metrics["rooms/copy_error"] > 0
    saved = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert saved["model_type"] == "v_jepa2_ac"
    plan = plan_run(run)
    assert (plan.rows, plan.missing) == (32, ())
    model = world(encoder)
    assert plan.trained == sum(one.numel() for one in model.predictor.parameters() if one.requires_grad)


def test_a_run_that_is_stopped_goes_on_to_the_last_bit(
    encoder: str, trajectories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"steps": 8, "save_every": 5}
    Trainer(recipe(tmp_path / "whole", encoder, trajectories, **short), device="cpu").fit()
    trainer = Trainer(recipe(tmp_path / "cut", encoder, trajectories, **short), device="cpu")
    step = trainer._train_step

    def breaks(number: int, *arguments: Any) -> None:
        if number == 5:
            raise KeyboardInterrupt
        step(number, *arguments)

    monkeypatch.setattr(trainer, "_train_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(recipe(tmp_path / "cut", encoder, trajectories, **short), device="cpu").fit()
    whole, cut = (
        [line["loss"] for line in read_log(tmp_path / name) if line["kind"] == "train"] for name in ("whole", "cut")
    )
    assert whole == cut


def test_a_checkpoint_of_another_model_or_encoder_is_refused(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    Trainer(recipe(tmp_path / "run", encoder, trajectories, steps=2), device="cpu").fit()
    last = tmp_path / "run" / "last"
    model = world(encoder)
    read_into(model, last)
    with pytest.raises(CheckpointError, match="another config"):
        read_into(world(encoder, rollout=1), last)
    raw = json.loads((last / "config.json").read_text())
    (last / "config.json").write_text(json.dumps(raw | {"encoder_fingerprint": "another"}))
    with pytest.raises(CheckpointError, match="is not the one"):
        read_into(model, last)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_width": 7}, "actions and states of 2 and 2 numbers, the model is for 7 and 2"),
        ({"rollout": 9}, "rollout = 9, and a trajectory has 6 actions"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    encoder: str, trajectories: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Trainer(recipe(tmp_path / "run", encoder, trajectories, model=changes), device="cpu").fit()


@pytest.mark.parametrize(
    ("section", "setting", "message"),
    [
        ("train", {"epochs": 2.0, "steps": None}, "train.epochs is not there"),
        ("train", {"compile": True}, "'train.compile' is not there"),
        ("model", {}, "'model.predictor.clips' is not there"),
    ],
)
def test_settings_without_effect_are_refused(
    encoder: str, trajectories: Path, tmp_path: Path, section: str, setting: dict[str, Any], message: str
) -> None:
    raw = recipe(tmp_path / "run", encoder, trajectories).model_dump(mode="json")
    if section == "model":
        raw["model"]["predictor"]["clips"] = {"frames": 4}
    else:
        raw[section] |= setting
    with pytest.raises(ConfigError, match=message):
        Trainer(RunConfig.model_validate(raw), device="cpu").fit()


def test_states_that_the_model_does_not_know_are_left_out(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    """One source has states, the other one has none."""
    found = Trajectories.open(trajectories)
    Trajectories(found.frames, found.actions).save(tmp_path / "plain")
    raw = recipe(tmp_path / "run", encoder, trajectories, model={"state_width": None}, steps=2).model_dump(mode="json")
    raw["data"]["train"].append({"name": "plain", "path": str(tmp_path / "plain")})
    Trainer(RunConfig.model_validate(raw), device="cpu").fit()


def test_a_short_validation_source_changes_no_training_sample(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    found = Trajectories.open(trajectories)
    assert found.states is not None
    Trajectories(found.frames[:, :4], found.actions[:, :3], found.states[:, :4]).save(tmp_path / "short")
    losses = []
    for place in (trajectories, tmp_path / "short"):
        raw = recipe(tmp_path / f"{place.name} run", encoder, trajectories, steps=2).model_dump(mode="json")
        raw["data"]["validation"][0]["path"] = str(place)
        Trainer(RunConfig.model_validate(raw), device="cpu").fit()
        losses.append([line["loss"] for line in read_log(tmp_path / f"{place.name} run") if line["kind"] == "train"])
    assert losses[0] == losses[1]


def test_more_processes_than_samples_are_refused(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    run = recipe(tmp_path / "run", encoder, trajectories, batch_size=2)
    frames = ActionWorldEnergy(world(encoder)).frames
    with pytest.raises(ConfigError, match="fewer than the 4 processes"):
        TrajectoryBatches([Trajectories.open(trajectories)], run=run, frames=frames, steps=4, states=True, shard=(0, 4))


def test_a_saved_model_is_the_same_wherever_its_encoder_lies(encoder: str, trajectories: Path, tmp_path: Path) -> None:
    Trainer(recipe(tmp_path / "run", encoder, trajectories, steps=2), device="cpu").fit()
    model = read_action_world(tmp_path / "run" / "best")
    given = sample(model)
    wanted = model.predict(*given)
    moved = shutil.copytree(encoder.removeprefix("v_jepa:"), tmp_path / "elsewhere")
    file = tmp_path / "run" / "best" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"encoder": f"v_jepa:{moved}"}))
    torch.testing.assert_close(read_action_world(tmp_path / "run" / "best").predict(*given), wanted)
    with pytest.raises(CheckpointError, match="is no model of v_jepa2_ac"):
        read_action_world(moved)


def test_files_of_trajectories_that_do_not_fit_each_other(tmp_path: Path) -> None:
    frames, actions = np.zeros((3, 5, 8, 8, 3), np.uint8), np.zeros((3, 4, 2), np.float32)
    Trajectories(frames, actions).save(tmp_path)
    found = Trajectories.open(tmp_path)
    assert (len(found), found.steps, found.states) == (3, 4, None)
    for name, wrong in {
        "actions": actions[:, :3],
        "frames": frames.astype(np.float32),
        "states": np.zeros((3, 4, 2), np.float32),
    }.items():
        np.save(tmp_path / f"{name}.npy", wrong)
        with pytest.raises(DataError, match=rf"{name}.npy holds"):
            Trajectories.open(tmp_path)
        Trajectories(frames, actions).save(tmp_path)
        (tmp_path / "states.npy").unlink(missing_ok=True)
    (tmp_path / "frames.npy").write_bytes(b"no")
    with pytest.raises(DataError, match=r"frames.npy' cannot be read"):
        Trajectories.open(tmp_path)


def test_a_plan_leads_where_the_model_says(encoder: str) -> None:
    """Goals are what actions lead to by the model itself: the planner has to find such actions."""
    model = world(encoder)
    energy = ActionWorldEnergy(model)
    random = np.random.default_rng(0)
    walls = two_rooms.Walls.fixed(2)
    places = two_rooms.draw_places(walls, random=random)
    images = two_rooms.draw(places[:, None], walls)[:, 0]
    found = energy({"image": images, "goal": images}, {"position": places})
    wanted = torch.tensor([[[2.0, -1.0]], [[-1.5, 1.5]]])
    now, states = energy.encode(images), torch.from_numpy(places)[:, None]
    goals = model.rollout(now, wanted, states)[:, -1]
    goal = np.zeros_like(images)
    energy.encode = lambda images: now if images.any() else goals  # type: ignore[method-assign]
    to_goals = torch.no_grad()(energy({"image": images, "goal": goal}, {"position": places}))
    assert float(to_goals(wanted[:, None]).max()) < 1e-5
    assert found(wanted[:, None]).shape == (2, 1)
    cem = CEM(bounds=Ball(two_rooms.REACH), std=1.5, samples=60, rounds=6, elites=8)
    policy = PlanningPolicy(energy, cem, horizon=1)
    policy.reset(seed=0)
    plan = policy.act({"image": images, "goal": goal}, {"position": places})
    in_parts = ActionWorldEnergy(model, at_once=7)({"image": images, "goal": images}, {"position": places})
    many = torch.randn(2, 9, 3, 2)
    with torch.no_grad():
        torch.testing.assert_close(in_parts(many), found(many))
    still = float(to_goals(torch.zeros(2, 1, 1, 2)).max())
    assert float(to_goals(torch.from_numpy(plan)[:, None, None]).max()) < 0.2 * still


def test_states_that_are_no_positions_cannot_be_planned_with(encoder: str) -> None:
    with pytest.raises(ConfigError, match="states of 5 numbers and actions of 2"):
        ActionWorldEnergy(world(encoder, state_width=5))
