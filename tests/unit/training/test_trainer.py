import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import shapes_run, write_rows
from vljepa import VLJEPA
from vljepa.configs import RunConfig, load_preset, validate
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.training import trainer as module
from vljepa.training.guards import NonFiniteError
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


def lines(run, kind):
    return [line for line in read_log(Path(run.train.output)) if line["kind"] == kind]


@pytest.fixture(scope="module")
def learned(shapes, tmp_path_factory):
    """One run that is long enough to learn the shapes."""
    run = shapes_run(
        shapes, tmp_path_factory.mktemp("learned"), train={"steps": 80, "batch_size": 24, "eval_every": 40}
    )
    return run, Trainer(run).fit()


def test_it_learns_captions_and_questions(learned):
    run, result = learned
    losses = [line["loss"] for line in lines(run, "train")]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    first = lines(run, "validation")[0]
    assert result.metrics["captions/main"] > first["captions/main"] + 0.4
    assert result.metrics["questions/accuracy"] > first["questions/accuracy"] + 0.2
    assert result.metrics["captions/matched_minus_shuffled"] > first["captions/matched_minus_shuffled"] + 0.2


def test_every_trained_group_moves(learned):
    run, _ = learned
    last = lines(run, "validation")[-1]
    for group in ("predictor", "gate", "y_encoder_head", "temperature"):
        assert last[f"moved/{group}"] > 0.95


def test_best_is_chosen_by_validation_and_loads_calibrated(learned):
    run, result = learned
    means = {line["step"]: line["mean"] for line in lines(run, "validation")}
    assert means[result.best_step] == max(means.values())
    model = VLJEPA.from_pretrained(result.model_folder)
    assert model.config.calibration.ask == result.metrics["calibration/ask/temperature"]
    assert model.label_prior.is_filled


def test_the_recipe_is_kept_beside_the_run(learned):
    run, result = learned
    raw = yaml.safe_load((result.model_folder.parent / "config.yaml").read_text())
    assert validate(RunConfig, raw, where="kept") == run


def test_a_finished_run_gives_its_result_again(learned, monkeypatch):
    run, result = learned
    monkeypatch.setattr(Trainer, "_build", lambda *_: pytest.fail("trained again"))
    assert Trainer(run).fit() == result


def test_without_a_cache_the_x_encoder_runs_in_every_step(make_run, monkeypatch):
    calls = []
    original = VLJEPA.encode_vision
    monkeypatch.setattr(VLJEPA, "encode_vision", lambda *arguments: (calls.append(1), original(*arguments))[1])
    run = make_run(data={"cache": None, "validation": []}, train={"steps": 3})
    result = Trainer(run).fit()
    assert len(calls) == 3
    assert result.best_step is None
    assert VLJEPA.from_pretrained(result.model_folder)


def test_a_trained_y_encoder_is_not_cached_and_moves(make_run, tmp_path):
    model = load_preset("toy").model_dump(mode="json")
    model["y_encoder"]["trainable"] = True
    run = make_run(model=model, train={"steps": 4, "eval_every": 4})
    Trainer(run).fit()
    assert not (tmp_path / "cache" / "text").exists()
    assert lines(run, "validation")[-1]["moved/y_encoder"] > 0.9


def test_rows_of_text_alone_train_with_the_others(make_run, tmp_path):
    write_rows(tmp_path / "text.jsonl", [{"text": [f"a cat {number}", f"the cat {number}"]} for number in range(8)])
    sources = [
        {"name": "captions", "path": "captions.jsonl"},
        {"name": "text", "path": str(tmp_path / "text.jsonl"), "text_only": True},
    ]
    run = make_run(data={"train": sources}, train={"steps": 3})
    Trainer(run).fit()
    assert all(math.isfinite(line["loss"]) for line in lines(run, "train"))
    with pytest.raises(ConfigError, match=r"'text' needs data\.cache"):
        Trainer(make_run("other", data={"train": sources, "cache": None})).fit()


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_nan_stops_before_the_optimizer_and_saves_nothing(make_run, monkeypatch, what):
    run = make_run(train={"eval_every": 3})
    trainer, original = Trainer(run), module.infonce
    count = iter(range(100))

    def poisoned(*arguments, **settings):
        loss = original(*arguments, **settings)
        if next(count) != 4:
            return loss
        if what == "loss":
            return loss * math.nan
        loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    monkeypatch.setattr(module, "infonce", poisoned)
    steps = []
    original_step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda *arguments, **settings: (steps.append(1), original_step(*arguments, **settings))[1],
    )
    with pytest.raises(NonFiniteError, match=f"the {what} is nan at step 4"):
        trainer.fit()
    assert len(steps) == 4
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert torch.load(trainer.folder / "last" / "training.pt", weights_only=True)["step"] == 3


def test_broken_pictures_are_counted_and_named(make_run, shapes, tmp_path, capsys):
    rows = [json.loads(line) for line in (shapes / "captions.jsonl").read_text().splitlines()]
    write_rows(tmp_path / "rows.jsonl", [*rows, {"image": "absent.png", "text": "nothing"}])
    source = {"name": "captions", "path": str(tmp_path / "rows.jsonl"), "root": str(shapes)}
    settings = {"train": [source], "max_skipped": 0.05}
    result = Trainer(make_run(data=settings, train={"steps": 2})).fit()
    assert list(result.skipped) == [str(shapes / "absent.png")]
    assert "1 pictures were skipped" in capsys.readouterr().err
    live = Trainer(make_run("live", data=settings | {"cache": None}, train={"steps": 3})).fit()
    assert live.skipped.keys() == result.skipped.keys()
    with pytest.raises(DataError, match=r"1 of 25 pictures are unreadable, more than data\.max_skipped = 0\.01"):
        Trainer(make_run("strict", data=settings | {"max_skipped": 0.01}, train={"steps": 2})).fit()


def test_a_batch_without_a_readable_picture_is_no_step(make_run, tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"image": f"{number}.png", "text": "nothing"} for number in range(4)])
    source = {"name": "absent", "path": str(tmp_path / "rows.jsonl")}
    data = {"train": [source], "validation": [], "cache": None, "max_skipped": 1.0}
    run = make_run(data=data, train={"steps": 2})
    assert len(Trainer(run).fit().skipped) == 4
    assert lines(run, "train") == []


def test_pictures_in_both_sets_are_reported(make_run, capsys):
    Trainer(make_run(train={"steps": 1})).fit()
    assert "WARNING: 24 validation pictures are also training pictures" in capsys.readouterr().err


def test_a_checkpoint_is_not_overwritten_by_another_run(make_run):
    Trainer(make_run(train={"steps": 2})).fit()
    with pytest.raises(ConfigError, match="resume = 'never'"):
        Trainer(make_run(train={"steps": 4, "resume": "never"})).fit()
    with pytest.raises(CheckpointError, match="other data, seed or batch size"):
        Trainer(make_run(train={"steps": 4, "seed": 1})).fit()
    wider = load_preset("toy").model_dump(mode="json") | {"embed_dim": 16}
    with pytest.raises(CheckpointError, match="another config"):
        Trainer(make_run(model=wider, train={"steps": 4})).fit()


def test_settings_that_cannot_work_are_refused_early(make_run):
    with pytest.raises(ConfigError, match="'nonsense' is not measured"):
        Trainer(make_run(train={"best_metric": "nonsense"})).fit()
    with pytest.raises(ConfigError, match="no device 'tpu'"):
        Trainer(make_run(), device="tpu")
