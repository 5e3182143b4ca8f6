"""The whole evaluation on a toy model and a prepared folder of shapes: every number is there, none is nonsense."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval import run
from eval.core.prepared import captions_by_image
from eval.studies.mini import rows, study
from eval.studies.mini.baselines import HeadConfig
from eval.studies.mini.features import Features
from eval.studies.mini.inputs import Job
from eval.studies.mini.rows import TITLES
from eval.studies.mini.study import measure_seed
from tests.unit.eval.conftest import COLOURS, SHAPES
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset
from vljepa.inference.embed import Embedder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vljepa.methods.vision_language.label_prior import fill_label_prior

    model = VLJEPA.from_parts(load_preset("toy"))
    fill_label_prior(model, VLJEPAProcessor(model.config))
    folder = tmp_path_factory.mktemp("model") / "toy"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "HIDDEN", 8)

    def config(**given: Any) -> HeadConfig:
        return HeadConfig(**given | {"steps": 4, "batch_size": 12, "eval_every": 2})

    monkeypatch.setattr(rows, "HeadConfig", config)


def job_of(prepared: Path, saved: Path, cache: Path, **changes: Any) -> Job:
    return partial(
        Job,
        seed=0,
        data=prepared / "data",
        model=str(saved),
        photos=prepared / "data/photos",
        captions=prepared / "captions.tsv",
        cache=cache,
    )(**changes)


@pytest.mark.usefixtures("quick")
def test_every_row_and_section_is_measured(prepared: Path, saved: Path, tmp_path: Path) -> None:
    result = measure_seed(job_of(prepared, saved, tmp_path))
    photos, emoji = (result["retrieval"][name] for name in ("photos", "emoji"))
    assert set(photos["rows"]) == set(TITLES)
    assert set(emoji["rows"]) == {name for name in TITLES if not name.endswith("_views")}
    assert photos["pools"] == [{"images": 12, "texts": 36}]
    assert emoji["pools"] == [{"images": 12, "texts": 12}] * 2
    shares = [row["metrics"][way]["r1"] for row in photos["rows"].values() for way in row["metrics"]]
    assert all(0 <= share <= 1 for share in shares)
    assert set(result["differences"]["emoji"]["both/r5"]) == {
        f"{colour} {shape}" for colour in COLOURS for shape in SHAPES
    }
    assert list(result["classes"]["groups"]) == ["12 test photos", "36 val2017 photos (12 of them in training)"]
    assert result["classes"]["groups"]["12 test photos"]["top1"]["chance"] == pytest.approx(2 / 80)
    asked = result["questions"]["photos"]
    assert asked["accuracy"]["all"]["chance"] == asked["accuracy"]["all"]["question_only"] == 0.25
    assert {"blank", "swapped", "no_query", "model", "question_only"} <= set(asked["controls"]["colour"])
    assert result["split"] == "test"
    json.dumps(result)


@pytest.mark.usefixtures("quick")
def test_a_finished_seed_is_not_computed_again(
    prepared: Path,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mini").symlink_to(prepared / "data")
    (tmp_path / "data/coco_photos").symlink_to(prepared / "data/photos")
    (tmp_path / "data/coco_captions_val2017.tsv").symlink_to(prepared / "captions.tsv")
    monkeypatch.setattr("eval.core.suite.OWN_DATA", ())
    arguments = ["mini_baselines", f"models=[{saved}]", "--data", str(tmp_path / "data")]
    arguments += ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "results"), "--again"]
    assert run.main([*arguments, "split=validation"]) == run.DONE
    first = json.loads((tmp_path / "results/mini_baselines.json").read_text(encoding="utf-8"))
    assert first["split"] == "validation"
    assert first["pooled"]["retrieval"]["emoji"]["model"]["image_to_text"]["r1"]["std"] == 0

    def refuse(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(study, "measure_seed", refuse)
    assert run.main([*arguments, "split=validation"]) == run.DONE
    second = json.loads((tmp_path / "results/mini_baselines.json").read_text(encoding="utf-8"))
    assert second["seeds"] == first["seeds"]
    with pytest.raises(AssertionError, match="computed again"):
        run.main([*arguments, "split=test"])
    twice = f"folders=[{tmp_path / 'data/mini'}, {tmp_path / 'data/mini'}]"
    assert run.main([*arguments, twice]) == run.ERROR
    assert "one folder per model" in " ".join(capsys.readouterr().err.split())


def test_ablations_change_the_prediction_in_their_own_way(prepared: Path, saved: Path, tmp_path: Path) -> None:
    frozen = Features(Embedder.from_pretrained(str(saved), device="cpu"), cache=tmp_path)
    images = sorted((prepared / "data/photos/images").glob("*.png"))[:6]
    frozen.fill_images(dict.fromkeys(images, 1))
    full, residual, learned = rows.model_rows(frozen)[0], *rows.model_rows(frozen)[2:]
    assert [residual.name, learned.name] == ["model_no_residual", "model_no_learned"]
    embedded = [row.images(images) for row in (full, residual, learned)]
    assert not np.allclose(embedded[0], embedded[1], atol=1e-3)
    assert not np.allclose(embedded[0], embedded[2], atol=1e-3)
    # Without the learned part a prediction is the label prior alone, which no query reaches.
    asked = frozen.predictions([(path, "which colour?") for path in images], ablate="learned")
    assert np.allclose(asked, embedded[2], atol=1e-6)


def test_equal_pairs_are_computed_once_and_order_is_kept(
    prepared: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = Features(Embedder.from_pretrained(str(saved), device="cpu"), cache=tmp_path)
    images = sorted((prepared / "data/photos/images").glob("*.png"))[:3]
    frozen.fill_images(dict.fromkeys(images, 1))
    pairs = [(path, query) for query in ("a longer question?", "", "short?") for path in images]
    one_by_one = np.concatenate([frozen.predictions([pair]) for pair in pairs])
    sizes: list[int] = []
    plain = frozen.model.predict
    monkeypatch.setattr(frozen.model, "predict", lambda *a, **k: sizes.append(len(a[0].tokens_BND)) or plain(*a, **k))
    assert np.allclose(frozen.predictions(pairs * 3), np.tile(one_by_one, (3, 1)), atol=1e-5)
    assert sum(sizes) == len(pairs)


def test_captions_of_held_out_photos_stay_out(prepared: Path) -> None:
    groups = captions_by_image(prepared / "data", prepared / "captions.tsv")
    texts = {text for group in groups for text in group}
    assert "caption a of 3" in texts  # a training photo
    assert "caption a of 399" in texts  # not among the photos
    assert not {f"caption a of {number}" for number in (*range(100, 112), *range(200, 212))} & texts
    assert all(len(group) == 2 for group in groups)


def test_a_caption_that_equals_a_held_out_one_stays_out(prepared: Path, tmp_path: Path) -> None:
    tsv = tmp_path / "captions.tsv"
    tsv.write_text("7\tA red circle 200!\n7\tfine\n7\tgood\n8\tone\n8\ttwo\n", encoding="utf-8")
    assert captions_by_image(prepared / "data", tsv) == [["fine", "good"], ["one", "two"]]


def test_blank_image_is_grey(saved: Path, tmp_path: Path) -> None:
    frozen = Features(Embedder.from_pretrained(str(saved), device="cpu"), cache=tmp_path)
    assert torch.isfinite(frozen.pooled([frozen.blank])).all()
