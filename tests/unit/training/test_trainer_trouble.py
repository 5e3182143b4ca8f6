"""What a training survives or refuses: averages, NaN, full disks, broken images, foreign checkpoints, answers."""

import json
import math
import resource
import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import write_rows
from tests.unit.training.test_trainer import (
    CAPTIONS,
    QUESTIONS,
    lines,
    text,  # noqa: F401  (fixtures)
    toy,
)
from vljepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.inference.embed import Embedder
from vljepa.methods import vl_jepa
from vljepa.metrics.classification import softmax
from vljepa.objectives import registry
from vljepa.training import trainer as module
from vljepa.training.guards import NonFiniteError
from vljepa.training.trainer import Trainer


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_average_is_what_is_validated_and_kept_as_best(make_run, monkeypatch, ema):
    values = iter(range(100))
    monkeypatch.setattr(module, "main_metric", lambda *_arguments, **_settings: float(next(values)))
    run = make_run(train={"steps": 6, "eval_every": 3, "ema": ema})
    trainer = Trainer(run)
    validated, original = [], vl_jepa.evaluate_tasks
    head = "predictor.head.weight"

    def spy(tasks, *, encoder):
        validated.append(encoder.model.state_dict()[head].clone())
        return original(tasks, encoder=encoder)

    monkeypatch.setattr(vl_jepa, "evaluate_tasks", spy)
    assert trainer.fit().best_step == 6
    best, last = (load_file(trainer.folder / name / "model.safetensors")[head] for name in ("best", "last"))
    average = torch.load(trainer.folder / "last" / "training.pt", weights_only=True)["hooks"]["average"]
    assert torch.equal(best, validated[-1])
    if ema:
        assert torch.equal(best, average[head])
        assert not torch.equal(best, last)
    else:
        assert average == {}
        assert torch.equal(best, last)


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.0), (0.0, 0.9)])
def test_averaging_may_begin_or_end_with_a_resumed_run(make_run, before, after):
    Trainer(make_run(train={"steps": 3, "eval_every": 3, "ema": before})).fit()
    trainer = Trainer(make_run(train={"steps": 6, "eval_every": 3, "ema": after}))
    assert trainer.fit().steps == 6
    average = torch.load(trainer.folder / "last" / "training.pt", weights_only=True)["hooks"]["average"]
    assert bool(average) == (after > 0)


@pytest.mark.parametrize("grad_cache", [None, 5])
@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_nan_stops_before_the_optimizer_and_saves_nothing(make_run, monkeypatch, what, grad_cache):
    """PITFALLS 23."""
    run = make_run(train={"eval_every": 3, "save_every": 1}, objective={"grad_cache": grad_cache})
    trainer, original = Trainer(run), registry.infonce
    count = iter(range(100))

    def poisoned(*arguments, **settings):
        loss = original(*arguments, **settings)
        if next(count) != 4:
            return loss
        if what == "loss":
            return loss * math.nan
        loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    monkeypatch.setattr(registry, "infonce", poisoned)
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
    assert torch.load(trainer.folder / "last" / "training.pt", weights_only=True)["step"] == 4


def test_a_disk_that_fills_up_ends_a_run_that_goes_on_to_the_same_end(make_run, monkeypatch):
    """A real limit on a file's size, from step 7 on, which the log keeps to and a checkpoint does not."""
    train = {"steps": 12, "eval_every": 6}
    whole, run = make_run("whole", train=train), make_run("full", train=train)
    Trainer(whole).fit()
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    original = Trainer._train_step

    def fill(self, step, *arguments):
        if step == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        original(self, step, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_step", fill)
        try:
            with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*the older one is intact"):
                Trainer(run).fit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
    last = Path(run.train.output) / "last"
    assert torch.load(last / "training.pt", weights_only=True)["step"] == 6
    Trainer(run).fit()
    mine, theirs = (load_file(Path(one.train.output) / "last" / "model.safetensors") for one in (run, whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_broken_images_are_counted_and_named(make_run, shapes, tmp_path, capsys):
    rows = [json.loads(line) for line in (shapes / "captions.jsonl").read_text().splitlines()]
    write_rows(tmp_path / "rows.jsonl", [*rows, {"image": "absent.png", "text": "nothing"}])
    source = {"name": "captions", "path": str(tmp_path / "rows.jsonl"), "root": str(shapes)}
    settings = {"train": [source], "max_skipped": 0.05}
    result = Trainer(make_run(data=settings, train={"steps": 2})).fit()
    assert list(result.skipped) == [str(shapes / "absent.png")]
    assert "1 images were skipped" in capsys.readouterr().err
    live = Trainer(make_run("live", data=settings | {"cache": None}, train={"steps": 3})).fit()
    assert live.skipped.keys() == result.skipped.keys()
    with pytest.raises(DataError, match=r"1 of 25 images are unreadable, more than data\.max_skipped = 0 "):
        Trainer(make_run("strict", data=settings | {"max_skipped": 0}, train={"steps": 2})).fit()


def test_a_batch_without_a_readable_image_is_no_step(make_run, tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"image": f"{number}.png", "text": "nothing"} for number in range(4)])
    source = {"name": "absent", "path": str(tmp_path / "rows.jsonl")}
    data = {"train": [source], "validation": [], "cache": None, "max_skipped": 1.0}
    run = make_run(data=data, train={"steps": 2})
    assert len(Trainer(run).fit().skipped) == 4
    assert lines(run, "train") == []


def test_runs_of_one_process_have_their_own_precision(make_run):
    for number, precision in enumerate(("fp32", "bf16", "fp32")):
        run = make_run(f"run {number}", train={"steps": 1, "precision": precision}, data={"validation": []})
        trainer = Trainer(run, device="cpu")
        trainer.fit()
        assert trainer.accelerator.mixed_precision == ("no" if precision == "fp32" else precision)


def test_images_in_both_sets_are_reported(make_run, capsys):
    Trainer(make_run(train={"steps": 1})).fit()
    assert "WARNING: 24 validation images are also training images" in capsys.readouterr().err


def test_the_same_image_in_another_file_is_known_by_its_source_id(make_run, shapes, tmp_path, capsys):
    """PITFALLS 16: by content above, and by id here, where the files differ; the control has neither."""
    red, blue = shapes / "red_circle_3.png", shapes / "blue_bar_3.png"
    rows = [{"image": red.name, "text": "a red circle", "source_id": "one"}]
    rows += [{"image": f"{colour}_square_3.png", "text": f"a {colour} square"} for colour in ("red", "green")]
    for name, source_id in (("same", "one"), ("other", "two")):
        write_rows(tmp_path / "train.jsonl", rows)
        write_rows(tmp_path / f"{name}.jsonl", [{"image": blue.name, "text": "a red circle", "source_id": source_id}])
        places = {"train": str(tmp_path / "train.jsonl"), "validation": str(tmp_path / f"{name}.jsonl")}
        data = {part: [{"name": part, "path": path, "root": str(shapes)}] for part, path in places.items()}
        Trainer(make_run(name, data=data, train={"steps": 1, "batch_size": 4})).fit()
        said = "1 validation images are also training images" in capsys.readouterr().err
        assert said == (name == "same")


def test_a_checkpoint_is_not_overwritten_by_another_run(make_run):
    Trainer(make_run(train={"steps": 2})).fit()
    with pytest.raises(ConfigError, match="resume = 'never'"):
        Trainer(make_run(train={"steps": 4, "resume": "never"})).fit()
    apart = [CAPTIONS, QUESTIONS]
    few = [CAPTIONS | {"gate_only": True}, QUESTIONS]
    wider = load_preset("toy").model_dump(mode="json") | {"embed_dim": 16}
    for changes, message in (
        ({"train": {"seed": 1}}, r"train\.seed = 0, now 1"),
        ({"train": {"precision": "bf16"}}, r"train\.precision = 'auto', now 'bf16'"),
        ({"optim": {"lr": 0.5}}, r"optim\.lr = .*, now 0\.5"),
        ({"data": {"train": apart}}, r"data\.train\.1\."),
        ({"data": {"train": few}}, r"data\.train\.0\.gate_only = False, now True"),
        ({"data": {"cache": {"views": 3}}}, r"data\.cache\.views = 2, now 3"),
        ({"model": wider}, r"model\.embed_dim = \d+, now 16"),
    ):
        settings = changes | {"train": {"steps": 4} | changes.get("train", {})}
        with pytest.raises(CheckpointError, match=message):
            Trainer(make_run(**settings)).fit()


def test_a_checkpoint_that_its_config_does_not_describe_is_refused(make_run, tmp_path, shapes):
    """What config.yaml cannot tell: rows that changed under the same name, a model that was put in place."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text((shapes / "captions.jsonl").read_text())
    data = {"train": [CAPTIONS | {"path": str(rows), "root": str(shapes)}]}
    Trainer(make_run(data=data, train={"steps": 2})).fit()
    with pytest.raises(CheckpointError, match=r"2 steps behind it, more than train\.steps = 1"):
        Trainer(make_run(data=data, train={"steps": 1})).fit()
    whole = rows.read_text()
    rows.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(CheckpointError, match="other data, seed or batch size"):
        Trainer(make_run(data=data, train={"steps": 4})).fit()
    rows.write_text(whole)
    wider = load_preset("toy").model_dump(mode="json") | {"embed_dim": 16}
    run = make_run(data=data, model=wider, train={"steps": 4})
    kept = tmp_path / "run" / "config.yaml"
    kept.write_text(yaml.safe_dump(run.model_dump(mode="json")))
    with pytest.raises(CheckpointError, match="another config"):
        Trainer(run).fit()
    kept.unlink()
    with pytest.raises(CheckpointError, match=r"without a readable config\.yaml"):
        Trainer(run).fit()


def test_settings_that_cannot_work_are_refused_early(make_run):
    with pytest.raises(ConfigError, match="'nonsense' is not measured"):
        Trainer(make_run(train={"best_metric": "nonsense"})).fit()
    with pytest.raises(ConfigError, match="no device 'tpu'"):
        Trainer(make_run(), device="tpu")


@pytest.mark.parametrize("grad_cache", [None, 5])
@pytest.mark.parametrize("y_trainable", [False, True])
def test_frozen_encoders_run_once_in_a_step(make_run, monkeypatch, grad_cache, y_trainable):
    """GradCache embeds each piece twice; a frozen encoder has nothing to learn from the second time."""
    run = make_run(
        str(grad_cache),
        model=toy(y_trainable=y_trainable),
        data={"cache": None, "validation": []},
        train={"steps": 3},
        objective={"grad_cache": grad_cache},
    )
    seen = {"encode_vision": 0, "text_features": 0}

    def counted(name):
        original = getattr(VLJEPA, name)

        def call(self, rows, *others):
            size = len(rows) if isinstance(rows, torch.Tensor) else len(rows.ids_BL)
            seen[name] += size if self.training else 0  # names of labels are embedded before the first step
            return original(self, rows, *others)

        return call

    for name in seen:
        monkeypatch.setattr(VLJEPA, name, counted(name))
    Trainer(run).fit()
    passes = 2 if y_trainable and grad_cache is not None else 1
    assert seen == {"encode_vision": 3 * 12, "text_features": passes * 3 * 12}


def test_kept_features_give_the_gradients_of_pixels_and_texts(make_run):
    """The second pass of GradCache reads what the first one kept: the weights go where they go without pieces."""

    def losses(grad_cache):
        model = toy(dropout=0.0)
        model["predictor"]["dropout"] = 0.0  # as many draws as pieces
        run = make_run(
            f"tokens {grad_cache}",
            model=model,
            data={"cache": None, "validation": []},
            train={"steps": 4, "precision": "fp32"},
            objective={"grad_cache": grad_cache},
        )
        Trainer(run).fit()
        return [line["loss"] for line in lines(run, "train")]

    assert losses(5) == pytest.approx(losses(None), rel=1e-4)


ANSWERS = ["black"] * 9 + ["blue"] * 3 + ["green"] * 2 + ["red"]


def skewed_run(make_run, shapes, tmp_path, name, **sections):
    """The same image under many identities, so that only how often answers occur can be learned."""
    row = {"image": "red_square_3.png", "query": "what?", "candidates": sorted(set(ANSWERS))}
    rows = [row | {"text": answer, "source_id": f"row {number}"} for number, answer in enumerate(4 * ANSWERS)]
    write_rows(tmp_path / "skewed.jsonl", rows)
    source = {"name": "skewed", "path": str(tmp_path / "skewed.jsonl"), "root": str(shapes), "task": "vqa"}
    train = {"steps": 60, "batch_size": 20, "eval_every": 60}
    return make_run(name, data={"train": [source], "validation": []}, train=train, **sections)


def test_a_softmax_over_the_answers_learns_how_often_they_occur(make_run, shapes, tmp_path):
    run = skewed_run(make_run, shapes, tmp_path, "softmax", objective={"answers": 1.0})
    embedder = Embedder.from_pretrained(str(Trainer(run).fit().model_folder), device="cpu")
    answers = sorted(set(ANSWERS))
    cosines = embedder.images([shapes / "red_square_3.png"], query="what?") @ embedder.texts(answers).T
    [found] = softmax(cosines, temperature=1 / float(embedder.model.scale().detach()))
    assert found == pytest.approx([ANSWERS.count(answer) / 15 for answer in answers], abs=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": toy(y_trainable=True)},
            "embeds the answers once, and the Y-Encoder is trained",
        ),
        ({"data": {"train": [CAPTIONS]}}, "objective.answers is a softmax over the answers .* and there are 0"),
    ],
    ids=["trained Y-Encoder", "no questions"],
)
def test_a_softmax_over_answers_that_cannot_be_is_refused(make_run, changes, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(make_run(objective={"answers": 1.0}, **changes)).fit()
