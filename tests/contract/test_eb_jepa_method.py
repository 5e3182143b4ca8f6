"""The method eb_jepa: its terms, the loop, models on disk, and planning with what it learns.

Models are tiny and hardly trained: what is tested is the method, and no number is a result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vljepa.checkpoint.eb_jepa import read_into, read_vector_world
from vljepa.configs import EBJEPAConfig, RunConfig
from vljepa.data.trajectories import Trajectories
from vljepa.data.worlds import two_rooms
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.methods.eb_jepa import EBJepaMethod, terms
from vljepa.models.types import Batch
from vljepa.models.video.vector_world import SpatialSoftmax, VectorWorld
from vljepa.planning.vector_world import VectorWorldEnergy
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

STEPS = 4
TINY = {"channels": [4, 4, 4], "keypoints": 4, "width": 8, "hidden": 16, "action_width": 2, "rollout": STEPS}


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories")
    walls = two_rooms.Walls.fixed(32)
    places, actions = two_rooms.wander(walls, steps=STEPS + 2, random=np.random.default_rng(0))
    Trajectories(two_rooms.draw(places, walls), actions, places).save(folder)
    return folder


def world(**changes: Any) -> VectorWorld:
    torch.manual_seed(1)
    return VectorWorld(EBJEPAConfig.model_validate(TINY | changes)).eval()


def recipe(folder: Path, trajectories: Path, *, model: dict[str, Any] | None = None, **train: Any) -> RunConfig:
    source = {"name": "rooms", "path": str(trajectories)}
    settings = {"steps": 60, "batch_size": 8, "eval_every": 30, "log_every": 1, "precision": "fp32"}
    return RunConfig.model_validate(
        {
            "method": "eb_jepa",
            "model": TINY | (model or {}),
            "data": {"train": [source], "validation": [source], "cache": None},
            "optim": {"lr": 2e-2, "warmup_steps": 2},
            "train": settings | {"output": str(folder)} | train,
        }
    )


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder) if line["kind"] == "train"]


def batch(model: VectorWorld) -> Batch:
    walls = two_rooms.Walls.fixed(3)
    places, actions = two_rooms.wander(walls, steps=STEPS, random=np.random.default_rng(0))
    pixels = torch.stack([model.frames(list(one)) for one in two_rooms.draw(places, walls)])
    return Batch(pixels_BTCHW=pixels, actions_BTA=torch.from_numpy(actions))


def test_keypoints_are_where_the_maps_are_strongest() -> None:
    maps = torch.zeros(1, 2, 5, 9)
    maps[0, 0, 0, 8] = maps[0, 1, 2, 4] = 50.0
    torch.testing.assert_close(SpatialSoftmax()(maps), torch.tensor([[1.0, 0.0, -1.0, 0.0]]), atol=1e-5, rtol=0)


def test_a_rollout_is_made_of_what_was_predicted() -> None:
    model = world()
    rows = model(batch(model))
    latents = rows["latents"]
    torch.testing.assert_close(latents.mean(-1), torch.zeros(3, STEPS + 1), atol=1e-5, rtol=0)
    by_hand, state = [], latents[:, 0]
    for action in batch(model).actions_BTA.unbind(1):  # type: ignore[union-attr]
        state = model.rollout(state, action[:, None])[:, 0]
        by_hand.append(state)
    torch.testing.assert_close(rows["predicted"], torch.stack(by_hand, 1))
    forced = model.rollout(latents[:, 1], batch(model).actions_BTA[:, 1:2])[:, 0]  # type: ignore[index]
    assert (forced - rows["predicted"][:, 1]).abs().max() > 1e-4, "the control: from the frame itself it is another"


def test_what_each_term_asks_for() -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(64, 5, 8, generator=draw)
    still = latents[:, :1].expand(-1, 5, -1)
    rows = {"latents": latents, "predicted": latents[:, 1:], "read": torch.ones(64, 4, 2), "done": torch.ones(64, 4, 2)}
    good = {name: float(value()) for name, value in terms(rows, seed=0).items()}
    assert good["prediction"] == good["inverse_dynamics"] == 0
    assert good["variance"] < 0.1
    assert good["covariance"] < 0.05
    worse = {
        "prediction": rows | {"predicted": latents[:, :-1]},
        "inverse_dynamics": rows | {"read": torch.zeros(64, 4, 2)},
        "variance": rows | {"latents": 0.01 * latents},
        "covariance": rows | {"latents": latents[..., :1].expand(-1, -1, 8)},
        "sigreg": rows | {"latents": torch.ones_like(latents)},
    }
    for name, changed in worse.items():
        assert float(terms(changed, seed=0)[name]()) > good[name] + 0.5, name
    assert float(terms(rows | {"latents": still}, seed=0)["time_similarity"]()) == 0 < good["time_similarity"]


def test_a_term_of_no_weight_is_not_there(trajectories: Path, tmp_path: Path) -> None:
    weights = dict.fromkeys(EBJEPAConfig(action_width=2).losses.model_dump(), 0.0)
    for name in weights:
        run = recipe(tmp_path / name, trajectories, model={"losses": weights | {name: 2.0}})
        method = EBJepaMethod(run)
        model = method.build(None, device=torch.device("cpu"))
        rows = model(batch(model))
        found = method.loss(rows, [], step=1)
        torch.testing.assert_close(found, 2 * terms(rows, seed=run.train.seed + 1)[name]())


def test_first_steps_are_of_the_inverse_dynamics_alone(trajectories: Path, tmp_path: Path) -> None:
    method = EBJepaMethod(recipe(tmp_path, trajectories, model={"inverse_dynamics_steps": 3}))
    model = method.build(None, device=torch.device("cpu"))
    for step, trained in ((2, False), (3, True)):
        model.zero_grad(set_to_none=True)
        method.loss(model(batch(model)), [], step=step).backward()
        moved = [one.grad for one in model.predictor.parameters()]
        assert any(one is not None and bool(one.abs().max() > 0) for one in moved) == trained, step
    with pytest.raises(ValueError, match=r"losses.inverse_dynamics is 0"):
        EBJEPAConfig.model_validate(TINY | {"inverse_dynamics_steps": 3, "losses": {"inverse_dynamics": 0}})


def test_it_learns_and_is_read_back(trajectories: Path, tmp_path: Path) -> None:
    """Prediction alone, which is soon done: it collapses."""
    others = dict.fromkeys(("variance", "covariance", "time_similarity", "inverse_dynamics"), 0.0)
    run = recipe(tmp_path / "run", trajectories, model={"losses": others})
    result = Trainer(run, device="cpu").fit()
    found = losses(tmp_path / "run")
    assert np.mean(found[-5:]) < 0.1 * np.mean(found[:5])
    assert result.metrics["rooms/effective_rank"] < 2
    plan = plan_run(run)
    assert (plan.rows, plan.missing) == (32, ())
    assert plan.trained == sum(one.numel() for one in world().parameters())
    model = read_vector_world(tmp_path / "run" / "last")
    images = np.asarray(Trajectories.open(trajectories).frames[:2, 0])
    energy = VectorWorldEnergy(model)({"image": images, "goal": images}, {})
    found_BN = energy(torch.zeros(2, 3, 2, 2))
    assert found_BN.shape == (2, 3)
    torch.testing.assert_close(
        VectorWorldEnergy(model, at_once=4)({"image": images, "goal": images}, {})(torch.zeros(2, 3, 2, 2)), found_BN
    )
    now = VectorWorldEnergy(model).encode(images)
    with torch.no_grad():
        wanted = (model.rollout(now, torch.zeros(2, 2, 2)) - now[:, None]).square().mean(-1).sum(-1)
    torch.testing.assert_close(found_BN[:, 0], wanted)


def test_a_run_that_is_stopped_goes_on_to_the_last_bit(
    trajectories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"steps": 8, "save_every": 5, "eval_every": 8}
    Trainer(recipe(tmp_path / "whole", trajectories, **short), device="cpu").fit()
    trainer = Trainer(recipe(tmp_path / "cut", trajectories, **short), device="cpu")
    step = trainer._train_step

    def breaks(number: int, *arguments: Any) -> None:
        if number == 5:
            raise KeyboardInterrupt
        step(number, *arguments)

    monkeypatch.setattr(trainer, "_train_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(recipe(tmp_path / "cut", trajectories, **short), device="cpu").fit()
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


def test_an_encoder_can_be_left_as_it_is(trajectories: Path, tmp_path: Path) -> None:
    run = recipe(tmp_path / "run", trajectories, model={"freeze_encoder": True}, steps=3, eval_every=3)
    method_model = VectorWorld(EBJEPAConfig.model_validate(run.model.model_dump()))
    before = {name: value.clone() for name, value in method_model.state_dict().items()}
    Trainer(run, model=method_model, device="cpu").fit()
    after = method_model.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"predictor", "inverse_dynamics"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_width": 7}, "actions and states of 2 and 2 numbers, the model is for 7"),
        ({"rollout": 9}, "rollout = 9, and a trajectory has 6 actions"),
        ({"side": 64}, r"frames are \[65, 65, 3\], the model is for \[64, 64, 3\]"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    trajectories: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        Trainer(recipe(tmp_path / "run", trajectories, model=changes), device="cpu").fit()


def test_models_of_another_make_are_refused(trajectories: Path, tmp_path: Path) -> None:
    Trainer(recipe(tmp_path / "run", trajectories, steps=2, eval_every=2), device="cpu").fit()
    last = tmp_path / "run" / "last"
    read_into(world(), last)
    with pytest.raises(CheckpointError, match="another config"):
        read_into(world(width=16), last)
    raw = json.loads((last / "config.json").read_text())
    (last / "config.json").write_text(json.dumps(raw | {"model_type": "v_jepa"}))
    with pytest.raises(CheckpointError, match="is no model of eb_jepa"):
        read_vector_world(last)
    (last / "config.json").write_text("[")
    with pytest.raises(CheckpointError, match="is not readable"):
        read_vector_world(last)
