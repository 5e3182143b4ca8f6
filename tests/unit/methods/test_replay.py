"""Distillation on replayed images: what the start predicted of them stays; their texts are not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import write_rows
from tests.unit.models.test_aligned import dual, seen
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ReplayConfig, RunConfig, VLJEPAConfig, load_preset, validate
from vljepa.data.images import open_still
from vljepa.data.replay import load_replay
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.inference.embed import Embedder
from vljepa.methods.vision_language.checks import check_run
from vljepa.methods.vision_language.inputs import step_sampler
from vljepa.methods.vision_language.label_prior import fill_label_prior
from vljepa.methods.vision_language.module import predict_as_at_the_start
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.training.epochs import with_steps
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

Tune = Callable[..., RunConfig]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    config = load_preset("toy").model_dump(mode="json")
    config["predictor"]["dropout"] = 0.0  # its draws are a matter of the pieces
    model = VLJEPA.from_parts(validate(VLJEPAConfig, config, where="test"))
    fill_label_prior(model, VLJEPAProcessor(model.config))
    model.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def tune(make_run: Callable[..., RunConfig], base: Path, shapes: Path, tmp_path: Path) -> Tune:
    """Adapters that learn the red and the green shapes, and replay the others unless `weight` is 0."""
    lines = [
        line for line in (shapes / "captions.jsonl").read_text().splitlines() if "red_" in line or "green_" in line
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    rest = [{"image": file.name} for file in sorted(shapes.glob("*.png")) if file.name.startswith(("blue_", "black_"))]
    write_rows(tmp_path / "rest.jsonl", rest)

    def make(name: str, *, weight: float, cached: int | None = None, **train: Any) -> RunConfig:
        own = {"name": "own", "path": str(tmp_path / "own.jsonl"), "root": str(shapes), "views": 1}
        kept = {"path": str(tmp_path / "rest.jsonl"), "root": str(shapes), "share": 2 / 3}
        run = make_run(
            name,
            data={"train": [own], "replay": kept if weight else None},
            objective={"distillation": weight, "grad_cache": cached},
            train={"precision": "fp32", **train},
        )
        changes = {"model": None, "start": str(base), "lora": {"rank": 4}}
        return validate(RunConfig, {**run.model_dump(), **changes}, where="test")

    return make


def losses(run: RunConfig) -> list[float]:
    return [line["loss"] for line in read_log(Path(run.train.output)) if line["kind"] == "train"]


def test_what_is_replayed_stays_as_it_was_while_the_own_is_learned(tune: Tune, base: Path, shapes: Path) -> None:
    others = sorted(one for one in shapes.glob("*.png") if one.name.startswith(("blue_", "black_")))
    before = Embedder.from_pretrained(str(base)).images(others)
    moved, learned = {}, {}
    for weight in (0.0, 20.0):
        run = tune(f"weight {weight}", weight=weight, steps=40, eval_every=40)
        model = Embedder.from_pretrained(str(Trainer(run, device="cpu").fit().model_folder))
        moved[weight] = float(1 - (model.images(others) * before).sum(1).mean())
        learned[weight] = losses(run)
    assert moved[20.0] < moved[0.0] / 4
    assert moved[0.0] > 0.02, "without distillation there is something to be kept from"
    # the mean of two groups' losses, of which that of the replay is next to nothing
    assert 2 * learned[20.0][-1] < 0.9 * learned[0.0][0]


def test_at_the_start_the_term_is_zero_and_groups_count_the_same(tune: Tune) -> None:
    """The own samples are drawn as without the replay: the first loss is half of theirs, whatever the weight."""
    alone, kept = tune("alone", weight=0.0, steps=3), tune("kept", weight=50.0, steps=3)
    for run in (alone, kept):
        Trainer(run, device="cpu").fit()
    assert losses(kept)[0] == pytest.approx(losses(alone)[0] / 2, rel=1e-5)
    assert losses(kept)[2] != pytest.approx(losses(alone)[2] / 2, rel=1e-3)


def test_by_grad_cache_it_is_that_of_the_whole_batch(tune: Tune) -> None:
    def numbers(name: str, **settings: Any) -> list[float]:
        run = tune(name, weight=5.0, steps=3, eval_every=3, **settings)
        Trainer(run, device="cpu").fit()
        lines = [line for line in read_log(Path(run.train.output)) if line["kind"] == "train"]
        return [line[key] for line in lines for key in ("loss", "gradient_norm")]

    whole = numbers("whole")
    assert numbers("cached", cached=5) == pytest.approx(whole, rel=1e-3)
    assert numbers("other", cached=5, seed=1) != pytest.approx(whole, rel=1e-3)


def test_the_start_is_the_model_without_its_adapters(tune: Tune, base: Path) -> None:
    run = tune("run", weight=1.0)
    trainer = Trainer(run, device="cpu")
    trainer.fit()
    model = trainer.model
    assert isinstance(model, VLJEPA)
    latents = model.encode_vision(torch.rand(3, 1, 3, 64, 64))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for training in (True, False):
        model.train(training)
        start = predict_as_at_the_start(model, latents, None)
        assert model.training == training
        assert not start.requires_grad
        torch.testing.assert_close(start, VLJEPA.from_pretrained(base).predict(latents))
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == trained
    assert float((model.predict(latents).detach() - start).abs().max()) > 1e-3, "and the model has moved since"


def test_of_a_dual_encoder_the_start_is_its_own_embedding() -> None:
    model = dual(gate=0.7)
    latents = model.encode_vision(seen(model))
    own = model.predict(latents, ablate="learned").detach()
    assert torch.equal(predict_as_at_the_start(model, latents, None), own)
    assert float((model.predict(latents).detach() - own).abs().max()) > 1e-3


def test_a_dual_encoder_learns_questions_and_stays_what_it_is_without_one(
    make_run: Callable[..., RunConfig], shapes: Path, tmp_path: Path
) -> None:
    """From a gate of 0: no adapters, both towers frozen, and the Predictor with its gate trained."""
    dual().save_pretrained(tmp_path / "start", full=True)
    images = sorted(shapes.glob("*.png"))
    start = Embedder.from_pretrained(str(tmp_path / "start"))
    before = start.images(images)
    assert (start.images(images, query="which shape?") == before).all(), "the gate is shut"
    moved, asked = {}, {}
    for weight in (0.0, 20.0):
        run = make_run(
            f"aligned {weight}",
            data={"train": [{"name": "questions", "path": "questions.jsonl"}], "validation": []}
            | {"replay": {"path": "."} if weight else None},
            objective={"distillation": weight},
            train={"steps": 40, "precision": "fp32"},
        )
        raw = {**run.model_dump(), "model": None, "start": str(tmp_path / "start")}
        trained = Trainer(validate(RunConfig, raw, where="test"), device="cpu")
        model = Embedder.from_pretrained(str(trained.fit().model_folder))
        moved[weight], asked[weight] = (
            float(1 - (model.images(images, query=query) * before).sum(1).mean()) for query in ("", "which shape?")
        )
        gates = [line["gate"] for line in read_log(trained.folder) if line["kind"] == "train"]
        assert gates[0] == 0
        assert abs(gates[-1]) > 0.01
    assert max(moved.values()) < 1e-6, "with replay and without: the gate without a question stays shut"
    assert min(asked.values()) > 1e-4, "questions move it all the same"


def test_the_residual_s_factor_stays_that_of_the_start(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is chosen on the new images, and would change what is said of all others."""
    for weight, chosen in ((0.0, 2.0), (1.0, 1.0)):
        monkeypatch.setattr("vljepa.methods.vl_jepa.fit_residual", lambda model, *_, **__: set_factor(model))
        result = Trainer(tune(f"factor {weight}", weight=weight, steps=2), device="cpu").fit()
        assert VLJEPA.from_pretrained(result.model_folder).config.calibration.residual == chosen


def set_factor(model: VLJEPA) -> dict[str, float]:
    model.config.calibration.residual = 2.0
    return {}


def test_only_images_are_read_each_once(shapes: Path, tmp_path: Path) -> None:
    rows = load_replay(ReplayConfig(path="questions.jsonl"), root=shapes)
    assert {(row.texts, row.query, row.candidates) for row in rows} == {((), "", ())}
    assert len(rows) == 24, "of which each has two questions"
    below = tmp_path / "any" / "images"
    below.mkdir(parents=True)
    for name in ("red_bar_3.png", "blue_bar_3.png"):
        (below / name).write_bytes((shapes / name).read_bytes())
    (tmp_path / "any" / "captions.csv").write_text("image,text\nimages/red_bar_3.png,a bar\n")
    folder = [row.image for row in load_replay(ReplayConfig(path="any"), root=tmp_path)]
    assert folder == [below / "blue_bar_3.png", below / "red_bar_3.png"]
    table = load_replay(ReplayConfig(path="any/captions.csv"), root=tmp_path)
    assert [row.image for row in table] == folder[1:]
    (below / "red_bar_3.png").unlink()
    (below / "blue_bar_3.png").unlink()
    with pytest.raises(DataError, match="no images to be replayed"):
        load_replay(ReplayConfig(path="any"), root=tmp_path)


def test_mini_brings_images_along(tmp_path: Path) -> None:
    rows = load_replay(ReplayConfig(path="mini:replay"))
    assert len(rows) == 595
    assert not isinstance(rows[0].image, Path)
    sizes = {open_still(row.image, max_pixels=10**6).size for row in rows[::100]}  # type: ignore[arg-type]
    assert all(min(size) >= 64 for size in sizes)
    VLJEPA.from_parts(load_preset("toy")).save_pretrained(tmp_path / "base")
    with pytest.raises(CheckpointError, match="brings no images to be replayed"):
        load_replay(ReplayConfig(path=f"{tmp_path / 'base'}:replay"))


def test_epochs_are_those_of_what_is_learned_and_a_plan_knows_it(tune: Tune, tmp_path: Path) -> None:
    """12 rows, 12 of them in a step, and 8 that are replayed."""
    for weight in (0.0, 1.0):
        run = tune("run", weight=weight, steps=None, epochs=7)
        assert with_steps(run).train.steps == 7 == plan_run(run).steps
    gone = run.model_dump()["data"] | {"replay": {"path": str(tmp_path / "gone")}}
    assert plan_run(changed(run, data=gone)).missing == (str(tmp_path / "gone"),)


def changed(run: RunConfig, **changes: Any) -> RunConfig:
    return validate(RunConfig, {**run.model_dump(), **changes}, where="test")


@pytest.mark.parametrize(
    ("weight", "changes", "complaint"),
    [
        (1.0, {"objective": {"distillation": 0.0}}, "distillation = 0, and data.replay gives images"),
        (0.0, {"objective": {"distillation": 2.0}}, r"distillation = 2 has no images.*mini:replay"),
        (1.0, {"lora": None}, "nothing is left of the start.*set `lora`"),
    ],
)
def test_what_cannot_keep_anything_is_refused(
    tune: Tune, weight: float, changes: dict[str, Any], complaint: str
) -> None:
    toy = load_preset("toy")
    check_run(tune("run", weight=weight), toy)
    with pytest.raises(ConfigError, match=f"(?s){complaint}"):
        check_run(changed(tune("run", weight=weight), **changes), toy)


def test_its_samples_come_in_addition_in_a_group_of_their_own(tune: Tune) -> None:
    run = tune("run", weight=1.0)
    assert step_sampler(run, [12, 12]).quotas == (12, 8)
    assert [source.group for source in run.data.seen] == ["all", "replay"]
    data = run.model_dump()["data"]
    data["train"][0]["group"] = "replay"
    with pytest.raises(ConfigError, match="rename those of the source"):
        changed(run, data=data)


def test_a_dual_encoder_s_texts_stay_where_they_are(tune: Tune) -> None:
    """Without adapters the start is its own embedding; its text tower and head may not be trained."""
    run = changed(tune("run", weight=1.0), lora=None)
    config = dual().config
    check_run(run, config)
    for key, value in (("target", "trained"), ("head", "linear")):
        tower = config.y_encoder.model_copy(update={key: value})
        with pytest.raises(ConfigError, match=rf"model\.y_encoder\.{key} = '{value}'.*target=frozen"):
            check_run(run, config.model_copy(update={"y_encoder": tower}))
        other = load_preset("toy")
        lora = changed(run, lora={"rank": 2})
        check_run(lora, other.model_copy(update={"y_encoder": other.y_encoder.model_copy(update={key: value})}))


def test_the_distance_is_one_minus_the_cosine_times_the_weight() -> None:
    from vljepa.objectives import TERMS, Gathered, Positives

    needed, term = TERMS["distillation"]
    ids = torch.arange(2)

    def of(prediction: Tensor, start: Tensor) -> float:
        rows = {"prediction": prediction, needed: start}
        return float(term(Gathered(rows=rows, scale=torch.ones(1), positives=Positives(ids, ids))))

    one, other = torch.eye(2), torch.eye(2).flip(0)
    assert (of(one, one), of(one, other), of(one, -one)) == (0.0, 1.0, 2.0)
