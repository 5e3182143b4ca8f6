import math
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import shapes_run, write_rows
from vljepa import VLJEPA
from vljepa.configs import RunConfig, load_preset, validate
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.methods import vl_jepa
from vljepa.objectives import registry
from vljepa.training import trainer as module
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
    assert model.residual.is_filled


def test_the_weights_of_the_best_validation_are_kept_although_the_loss_falls_further(make_run, monkeypatch):
    """PITFALLS 15: by its loss the last checkpoint would be chosen."""
    values, validated = iter([0.1, 0.9, 0.5, 0.3]), []
    monkeypatch.setattr(module, "main_metric", lambda *_arguments, **_settings: next(values))
    original = vl_jepa.evaluate_tasks

    def spy(tasks, *, encoder):
        validated.append(encoder.model.state_dict()["predictor.head.weight"].clone())
        return original(tasks, encoder=encoder)

    monkeypatch.setattr(vl_jepa, "evaluate_tasks", spy)
    run = make_run(train={"steps": 15, "batch_size": 24, "eval_every": 5})
    trainer = Trainer(run)
    assert trainer.fit().best_step == 5
    losses = [line["loss"] for line in lines(run, "train")]
    assert sum(losses[10:]) < sum(losses[5:10]) < sum(losses[:5])
    best, last = (
        load_file(trainer.folder / name / "model.safetensors")["predictor.head.weight"] for name in ("best", "last")
    )
    assert torch.equal(best, validated[1])
    assert torch.equal(last, validated[3])
    assert not torch.equal(best, last)


def test_the_recipe_is_kept_beside_the_run(learned):
    run, result = learned
    raw = yaml.safe_load((result.model_folder.parent / "config.yaml").read_text())
    assert validate(RunConfig, raw, where="kept") == run


def test_a_finished_run_gives_its_result_again(learned, monkeypatch, capsys):
    run, result = learned
    monkeypatch.setattr(Trainer, "_build", lambda *_: pytest.fail("trained again"))
    assert Trainer(run).fit() == result
    assert "already finished: 80 steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("optim", {"lr": 0.5}, r"with optim\.lr = 0\.0\d+, now 0\.5.*another train\.output, or put optim\.lr back"),
        ("train", {"seed": 7}, r"train\.seed = 0, now 7"),
        ("train", {"ema": 0.9}, r"train\.ema = 0\.0, now 0\.9"),
        ("train", {"eval_every": 5}, r"train\.eval_every = 40, now 5"),
        ("data", {"validation": []}, r"data\.validation"),
        ("data", {"cache": None}, r"data\.cache"),
    ],
)
def test_a_finished_run_with_another_recipe_is_not_given_back(learned, section, changes, message):
    run, _ = learned
    other = run.model_copy(update={section: getattr(run, section).model_copy(update=changes)})
    with pytest.raises(CheckpointError, match=message):
        Trainer(other).fit()


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
    model["y_encoder"]["target"] = "trained"
    run = make_run(model=model, train={"steps": 4, "eval_every": 4})
    Trainer(run).fit()
    assert not (tmp_path / "cache" / "text").exists()
    assert lines(run, "validation")[-1]["moved/y_encoder"] > 0.9


def toy(*, hidden=16, dropout=0.2, y_trainable=False, **prior):
    """The toy model with a refined label prior."""
    model = load_preset("toy").model_dump(mode="json")
    model["y_encoder"]["target"] = "trained" if y_trainable else "frozen"
    model["residual"] |= {"hidden": hidden, "dropout": dropout, **prior}
    return model


def without_prior():
    model = load_preset("toy").model_dump(mode="json")
    model["residual"] = None
    return model


CAPTIONS = {"name": "captions", "path": "captions.jsonl"}
QUESTIONS = {"name": "questions", "path": "questions.jsonl", "task": "vqa", "group": "questions"}
GATE = {"name": "few", "path": "captions.jsonl", "group": "few", "gate_only": True}
TEXT = {"name": "text", "path": "text.jsonl", "group": "text", "view": {"name": "text", "like": "captions"}}


@pytest.fixture
def text(tmp_path):
    """A source of text alone, in a folder of its own."""
    write_rows(tmp_path / "text.jsonl", [{"text": [f"a cat {number}", f"the cat {number}"]} for number in range(8)])
    return TEXT | {"path": str(tmp_path / "text.jsonl")}


def test_all_kinds_of_sources_train_together(make_run, text):
    sources = [CAPTIONS | {"views": 1, "first_text": 0.5}, QUESTIONS, GATE, text]
    run = make_run(model=toy(), data={"train": sources}, train={"steps": 4, "batch_size": 16, "ema": 0.5})
    result = Trainer(run).fit()
    assert all(math.isfinite(line["loss"]) for line in lines(run, "train"))
    moved = lines(run, "validation")[-1]
    for group in ("residual", "gate", "predictor", "temperature"):
        assert moved[f"moved/{group}"] > 0.9
    assert VLJEPA.from_pretrained(result.model_folder).residual.refiner is not None


def test_the_loss_is_the_mean_of_the_groups_own_losses(make_run, text, monkeypatch):
    """Negatives stay within a group: each is contrasted by itself, and counts the same whatever its size."""
    original, seen = registry.infonce, []

    def spy(prediction_BD, target_BD, **settings):
        loss = original(prediction_BD, target_BD, **settings)
        assert settings["positives"].mask().shape == (len(prediction_BD),) * 2
        seen.append((len(prediction_BD), len(target_BD), float(loss.detach())))
        return loss

    monkeypatch.setattr(registry, "infonce", spy)
    sources = [CAPTIONS | {"weight": 3}, QUESTIONS | {"weight": 5}, GATE | {"weight": 2}, text | {"weight": 6}]
    run = make_run(model=toy(), data={"train": sources}, train={"steps": 3, "batch_size": 16})
    Trainer(run).fit()
    assert [(rows, columns) for rows, columns, _ in seen] == [(3, 3), (5, 5), (2, 2), (6, 6)] * 3
    for step, line in enumerate(lines(run, "train")):
        own = seen[4 * step : 4 * step + 4]
        assert line["loss"] == pytest.approx(sum(loss for _, _, loss in own) / 4, rel=1e-5)
    seen.clear()
    together = [CAPTIONS | {"weight": 3}, QUESTIONS | {"weight": 5, "group": "all"}]
    Trainer(make_run("together", data={"train": together}, train={"steps": 1, "batch_size": 16})).fit()
    assert [rows for rows, _, _ in seen] == [16], "the control: one group is contrasted as a whole"


@pytest.mark.parametrize("hidden", [None, 16])
def test_gate_only_images_move_the_gate_and_no_text(make_run, hidden):
    run = make_run(model=toy(hidden=hidden), data={"train": [GATE]}, train={"steps": 3, "eval_every": 3})
    Trainer(run).fit()
    last = lines(run, "validation")[-1]
    moved = {name.removeprefix("moved/"): share for name, share in last.items() if name.startswith("moved/")}
    assert moved["gate"] > 0.9
    assert moved["temperature"] == moved["y_encoder_head"] == moved.get("residual", 0.0) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text": {"view": {"name": "text", "like": "absent"}}},
            r"like = 'absent'.*'text' names no images.*captions",
        ),
        ({"text": {"view": {"name": "text", "like": "text"}}}, r"like = 'text' of the source 'text' names no images"),
        ({"text": {"group": "all"}}, "'text' is in group 'all' with sources of another kind"),
        ({"text": {"group": "few"}}, "'text' is in group 'few' with sources of another kind"),
        ({"few": {"group": "all"}}, "'few' is in group 'all' with sources of another kind"),
        ({"text": {"gate_only": True}}, "view of the source 'text' is text, and gate_only"),
        ({"data": {"cache": None}}, r"'text' needs model\.y_encoder\.target=frozen and data\.cache"),
        ({"model": toy(y_trainable=True)}, r"'text' needs model\.y_encoder\.target=frozen and data\.cache"),
        ({"model": without_prior()}, r"'few' needs model\.residual=label_prior, gated"),
        ({"model": toy(gated=False)}, r"'few' needs model\.residual=label_prior, gated"),
        ({"data": {"validation": [TEXT]}}, "view of the validation source 'text' is text"),
        ({"data": {"validation": []}, "train": {"ema": 0.9}}, r"ema = 0\.9 .* there is no validation"),
    ],
)
def test_routes_that_cannot_work_are_refused(make_run, text, changes, message):
    sources = [CAPTIONS, GATE | changes.get("few", {}), text | changes.get("text", {})]
    data = {"train": sources} | changes.get("data", {})
    train = {"steps": 1} | changes.get("train", {})
    with pytest.raises(ConfigError, match=message):
        Trainer(make_run(model=changes.get("model", toy()), data=data, train=train)).fit()


def test_views_need_a_cache(make_run):
    data = {"train": [CAPTIONS | {"views": 2}], "cache": None}
    with pytest.raises(ConfigError, match=r"'captions' wants 2 views, which only data\.cache stores"):
        Trainer(make_run(data=data)).fit()


def test_shards_behind_an_address_are_for_training_without_a_cache(make_run):
    web = {"name": "web", "path": "http://127.0.0.1:9/{0..3}.tar"}
    with pytest.raises(ConfigError, match=r"'web' is read shard by shard, and a cache keeps what comes again"):
        Trainer(make_run(data={"train": [web]})).fit()
    with pytest.raises(DataError, match=r"is a stream.*only data\.train takes an address"):
        Trainer(make_run(data={"train": [CAPTIONS], "validation": [web], "cache": None})).fit()
