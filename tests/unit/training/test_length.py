"""How long a run is: by epochs, by steps, or until validation is no better."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import write_rows
from vljepa.configs import TrainConfig
from vljepa.errors import ConfigError
from vljepa.methods import vl_jepa as module
from vljepa.training.checkpoint import load_state
from vljepa.training.epochs import steps_of, with_steps
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

STILL = {"steps": 12, "eval_every": 2}


@pytest.mark.parametrize(
    ("train", "steps"),
    [({"epochs": 4}, 24), ({"epochs": 0.5}, 3), ({"epochs": 4, "steps": 5}, 5), ({"steps": 7}, 7), ({}, 1000)],
)
def test_epochs_are_visits_to_each_row(make_run, train, steps):
    """24 rows of captions and 48 of questions, 12 in a step."""
    run = make_run(train={"steps": None, **train})
    assert with_steps(run).train.steps == plan_run(run).steps == steps
    assert with_steps(with_steps(run)) == with_steps(run)


def test_every_amount_of_data_gets_as_many_visits():
    assert steps_of(TrainConfig(epochs=10, batch_size=100), rows=4936) == 494
    assert steps_of(TrainConfig(epochs=10, batch_size=100), rows=296) == 30


def test_a_run_of_epochs_trains_so_many_steps_and_is_finished(make_run, monkeypatch):
    run = make_run(train={"steps": None, "epochs": 1, "eval_every": 6})
    result = Trainer(run).fit()
    assert (result.steps, result.stopped_early) == (6, False)
    monkeypatch.setattr(Trainer, "_build", lambda *_: pytest.fail("trained again"))
    assert Trainer(run).fit() == result


def test_epochs_of_rows_that_are_not_there_yet_are_not_known(make_run, tmp_path):
    run = make_run(data={"root": str(tmp_path / "absent")}, train={"steps": None, "epochs": 1})
    plan = plan_run(run)
    assert (plan.steps, plan.samples) == (None, None)
    assert plan.missing


def test_shards_have_no_epochs(make_run):
    source = {"name": "web", "path": "https://host/train-{000..123}.tar"}
    run = make_run(data={"train": [source], "cache": None}, train={"steps": None, "epochs": 1})
    with pytest.raises(ConfigError, match="the source 'web', which is read shard by shard"):
        Trainer(run).fit()


@pytest.fixture
def flat(monkeypatch):
    """Validation that is best at step 4 and never again."""
    original = module.evaluate_tasks
    values = iter([0.1, 0.2, 0.5, 0.3, 0.4, 0.5, 0.3, 0.2])

    def measured(tasks, *, encoder):
        return original(tasks, encoder=encoder) | {"mean": next(values)}

    monkeypatch.setattr(module, "evaluate_tasks", measured)


@pytest.mark.parametrize(("patience", "steps"), [(1, 6), (2, 8), (3, 10), (None, 12)])
def test_a_run_ends_when_validation_is_no_better(make_run, flat, capsys, patience, steps):
    run = make_run(train={**STILL, "patience": patience})
    result = Trainer(run).fit()
    assert (result.steps, result.best_step, result.stopped_early) == (steps, 4, steps < 12)
    assert (f"ended after step {steps} of 12: no validation since step 4 was better" in capsys.readouterr().err) == (
        steps < 12
    )
    assert [line["step"] for line in read_log(Path(run.train.output)) if line["kind"] == "train"][-1] == steps
    assert Trainer(run).fit() == result, "it is finished"


def test_a_run_that_crashes_after_it_ended_early_does_not_go_on(make_run, flat, monkeypatch):
    run = make_run(train={**STILL, "patience": 1})
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_finish", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Trainer(run).fit()
    result = Trainer(run).fit()
    assert (result.steps, result.stopped_early) == (6, True)
    assert load_state(Path(run.train.output) / "last", device=torch.device("cpu"))["step"] == 6


def test_questions_that_need_no_image_are_told_at_the_end(shapes, make_run, tmp_path, capsys):
    """All images of the first set have the same answer; in the second the image decides."""
    rows = [json.loads(line) for line in (shapes / "questions.jsonl").read_text().splitlines()]
    write_rows(tmp_path / "blind.jsonl", [row | {"text": "red", "candidates": ["red", "blue"]} for row in rows])
    blind = {"name": "blind", "path": str(tmp_path / "blind.jsonl"), "root": str(shapes), "task": "vqa"}
    seen = {"name": "seen", "path": "questions.jsonl", "task": "vqa"}
    result = Trainer(make_run("a", data={"train": [blind], "validation": [blind]}, train={"steps": 2})).fit()
    assert result.metrics["blind/blind/majority"] == result.metrics["blind/blind/question_only"] == 1
    said = capsys.readouterr().err
    assert "without looking at the image: 100.0% the most frequent answer" in said
    assert "WARNING: blind: the model answers no better than without looking" in said
    result = Trainer(make_run("b", data={"train": [seen], "validation": [seen]}, train={"steps": 60})).fit()
    # A quarter of the colours and a third of the shapes are right by guessing.
    assert result.metrics["seen/blind/majority_per_type"] == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert result.metrics["seen/blind/question_only"] == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert result.metrics["seen/accuracy"] > 0.5
    assert "WARNING" not in [line for line in capsys.readouterr().err.splitlines() if "no better than" in line]
