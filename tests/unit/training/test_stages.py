"""Stages: each starts where the one before ended; what is finished is skipped, what was interrupted goes on exactly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vljepa import VLJEPA
from vljepa.checkpoint.adaptation import adapt
from vljepa.configs import AdaptersConfig, RunConfig
from vljepa.errors import CheckpointError
from vljepa.training.plan import plan_run
from vljepa.training.stages import train_stages
from vljepa.training.trainer import Trainer

Stages = dict[str, RunConfig]
QUESTIONS = {"train": [{"name": "questions", "path": "questions.jsonl"}]}


@pytest.fixture
def make_stages(make_run: Callable[..., RunConfig]) -> Callable[[str], Stages]:
    """Captions, then questions."""

    def make(output: str) -> Stages:
        return {
            "captions": make_run(f"{output}/captions", train={"steps": 6, "eval_every": 3}),
            "questions": make_run(f"{output}/questions", data=QUESTIONS, train={"steps": 8, "eval_every": 4}),
        }

    return make


def weights(run: RunConfig, which: str = "last") -> dict[str, torch.Tensor]:
    return load_file(Path(run.train.output) / which / "model.safetensors")


def test_a_stage_starts_with_the_best_weights_of_the_one_before(make_stages: Callable[[str], Stages]) -> None:
    stages = make_stages("run")
    still = stages["questions"].optim.model_copy(update={"lr": 1e-30})
    stages["questions"] = stages["questions"].model_copy(update={"optim": still})
    result = train_stages(stages, device="cpu")
    assert result.folder == stages["questions"].train.output
    expected, found = weights(stages["captions"], "best"), weights(stages["questions"])
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    untrained = VLJEPA.from_parts(stages["captions"].model).state_dict()
    assert not torch.equal(untrained["predictor.head.weight"], found["predictor.head.weight"])


@pytest.mark.parametrize("stop", [("captions", 4), ("questions", 0), ("questions", 6)])
def test_an_interrupted_recipe_goes_on_to_the_same_weights(
    make_stages: Callable[[str], Stages], monkeypatch: pytest.MonkeyPatch, stop: tuple[str, int]
) -> None:
    whole, broken = make_stages("whole"), make_stages("broken")
    train_stages(whole, device="cpu")
    kept = Trainer._train_step

    def fail(trainer: Trainer, step: int, *rest: object) -> None:
        if (trainer.folder.name, step) == stop:
            raise KeyboardInterrupt
        kept(trainer, step, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_step", fail)
        with pytest.raises(KeyboardInterrupt):
            train_stages(broken, device="cpu")
    train_stages(broken, device="cpu")
    for name in whole:
        expected, found = weights(whole[name]), weights(broken[name])
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_finished_recipe_is_given_back_and_a_changed_start_refused(
    make_stages: Callable[[str], Stages], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = make_stages("run")
    first = train_stages(stages, device="cpu")
    monkeypatch.setattr(Trainer, "_train_step", lambda *_: pytest.fail("trained again"))
    assert train_stages(stages, device="cpu") == first
    folder = Path(stages["captions"].train.output) / "best"
    model = VLJEPA.from_pretrained(folder)
    with torch.no_grad():
        model.log_scale += 0.1
    model.save_pretrained(folder)
    with pytest.raises(CheckpointError, match="started from another model"):
        train_stages(stages, device="cpu")


def test_a_plan_counts_and_writes_nothing(make_run: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = make_run(train={"steps": 7, "batch_size": 10})
    before = sorted(os.listdir(tmp_path))
    plan = plan_run(run)
    assert (plan.samples, plan.rows, plan.missing, plan.parts) == (70, 24 + 48, (), "")
    model = VLJEPA(run.model)
    assert plan.parameters == sum(one.numel() for one in model.parameters())
    assert plan.trained == sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert sorted(os.listdir(tmp_path)) == before
    web = run.data.train[0].model_copy(update={"path": "https://host/{0..9}.tar"})
    streamed = run.data.model_copy(update={"train": [web, *run.data.train[1:]], "cache": None})
    plan = plan_run(run.model_copy(update={"data": streamed}))
    assert (plan.rows, plan.missing) == (None, ()), "nothing is fetched, and nothing is missing"
    absent = run.data.model_copy(update={"root": str(tmp_path / "absent")})
    plan = plan_run(run.model_copy(update={"data": absent}))
    assert plan.rows is None
    assert plan.missing == tuple(str(tmp_path / "absent" / name) for name in ("captions.jsonl", "questions.jsonl"))


def test_a_plan_counts_what_adapters_train(make_run: Callable[..., RunConfig], tmp_path: Path) -> None:
    plain = make_run()
    assert plain.model is not None
    model = VLJEPA(plain.model)
    model.save_pretrained(tmp_path / "base")
    lora = AdaptersConfig(rank=4, four_bit=True, parts=["predictor", "y_encoder"])
    run = plain.model_copy(update={"model": None, "start": str(tmp_path / "base"), "lora": lora})
    plan = plan_run(run)
    adapt(model, lora.model_copy(update={"four_bit": False}), base="", seed=0)
    assert plan.trained == sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert plan.parameters == sum(one.numel() for one in model.parameters())
    fewer = plan_run(run.model_copy(update={"lora": lora.model_copy(update={"rank": 2})}))
    assert fewer.trained is not None
    assert fewer.trained < plan.trained < plan.parameters
