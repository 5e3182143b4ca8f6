import json
import math
import resource
import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import shapes_run, write_rows
from vljepa import VLJEPA
from vljepa.configs import RunConfig, load_preset, validate
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.inference.embed import Embedder
from vljepa.methods import vl_jepa
from vljepa.metrics.classification import softmax
from vljepa.objectives import registry
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
