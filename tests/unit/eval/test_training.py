"""Every result says what of its test data is in the training data, or that nobody has looked."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval import run
from eval.core.contamination import Training, training_of
from eval.core.render import filled
from eval.core.result import Model
from tests.unit.eval.seer import Seer, write_lines
from vljepa.data.records import Record

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"
PHOTOS = ["cat", "coffee", "rocket"]
SUITE = "own_retrieval"


def page_of(result: dict[str, Any]) -> str:
    """What docs/evaluation.md says of it."""
    return filled("evaluation.md", {"results": [result], "plots": [], "others": []})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos with a text each to be measured on, and training data: the cat, the coffee saved again, a text."""
    loads: list[int] = []

    def load(_: Any) -> Seer:
        loads.append(1)
        return Seer()

    loaded = cached_property(load)
    loaded.__set_name__(Model, "embedder")
    monkeypatch.setattr(Model, "embedder", loaded)
    monkeypatch.setattr("eval.core.suite.OWN_DATA", ())
    monkeypatch.setattr(run, "loads", loads, raising=False)
    test, train = tmp_path / "data" / SUITE, tmp_path / "train"
    test.mkdir(parents=True)
    train.mkdir()
    for name in PHOTOS:
        (test / f"{name}.jpg").write_bytes((EXAMPLES / f"{name}.jpg").read_bytes())
    write_lines(test / "test.jsonl", [{"image": f"{name}.jpg", "text": f"A {name}."} for name in PHOTOS])
    (train / "one.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    Image.open(EXAMPLES / "coffee.jpg").convert("RGB").save(train / "two.jpg", quality=50)
    (train / "three.jpg").write_bytes((EXAMPLES / "lemons.jpg").read_bytes())
    texts = {"one.jpg": "a rocket", "two.jpg": "a cup", "three.jpg": "fruit"}
    write_lines(train / "train.jsonl", [{"image": image, "text": text} for image, text in texts.items()])
    return tmp_path


def measure(folder: Path, *more: str) -> int:
    return run.main([SUITE, "--data", str(folder / "data"), "--results", str(folder / "results"), *more])


def written(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "results" / f"{SUITE}.json").read_text(encoding="utf-8"))
    return loaded


def test_equal_images_near_ones_and_texts_are_counted(folder: Path) -> None:
    assert measure(folder, "--train", str(folder / "train" / "train.jsonl")) == run.DONE
    overlap = written(folder)["overlap"]
    assert overlap["looked_at"]
    assert (overlap["exact"], overlap["near"], overlap["text"]) == (1, 1, 1)
    assert overlap["test"] == {"images": 3, "texts": 3}
    train = overlap["train"]
    assert (train["images"], train["texts"], train["files"]) == (3, 3, ["PATH/TO/train.jsonl"])
    assert [one[1] for one in overlap["examples"]["near"]] == [f"{folder.name}/train/two.jpg"]
    assert str(folder) not in json.dumps(written(folder)["overlap"])
    said = page_of(written(folder))
    assert "of 3 test images 1 are equal to one of training and 1 more are near duplicates (perceptual hash)" in said
    assert "of 3 test texts (with their questions) 1 are in both" in said
    assert "with 3 images and 3 texts of PATH/TO/train.jsonl (named with --train). Nothing else is known." in said


def test_other_training_data_have_nothing_of_it(folder: Path) -> None:
    """The control: the same test, and training data without the copies."""
    write_lines(folder / "train" / "train.jsonl", [{"image": "three.jpg", "text": "fruit"}])
    measure(folder, "--train", str(folder / "train" / "train.jsonl"))
    overlap = written(folder)["overlap"]
    assert (overlap["exact"], overlap["near"], overlap["text"]) == (0, 0, 0)
    assert overlap["train"]["images"] == 1


def test_without_training_data_it_says_that_nobody_has_looked(folder: Path) -> None:
    for model, why in (
        (
            "mini",
            "the training data of mini (recipes/mini.yaml and recipes/mini_clips.yaml and recipes/mini_decoder.yaml) "
            "are not in a folder",
        ),
        ("toy", "no training data were named with --train"),
    ):
        training = training_of(model, given=[], folders=[folder / "data"])
        overlap = training.overlap([Record(None, ("a",))], note="known beside")
        assert (overlap["looked_at"], overlap["note"]) == (False, "known beside")
        assert overlap["why"].startswith(why)
    assert measure(folder) == run.DONE
    assert not written(folder)["overlap"]["looked_at"]
    assert "Overlap with training: not looked at (the training data of mini" in page_of(written(folder))


def test_a_result_is_compared_once_with_the_training_data_at_hand(folder: Path) -> None:
    listing = str(folder / "train" / "train.jsonl")

    def counted() -> tuple[int, int | None]:
        return len(run.loads), written(folder)["overlap"].get("text")  # type: ignore[attr-defined]

    measure(folder)
    assert counted() == (1, None)
    measure(folder, "--train", listing)
    assert counted() == (2, 1)
    measure(folder, "--train", listing)
    assert counted() == (2, 1)
    measure(folder)  # not at hand any more: what was found holds
    assert counted() == (2, 1)
    write_lines(folder / "train" / "train.jsonl", [{"image": "three.jpg", "text": "fruit"}])
    measure(folder, "--train", listing)
    assert counted() == (3, 0)


def test_training_data_that_are_not_there_are_an_error_before_anything_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(folder, "--train", str(folder / "none.jsonl")) == run.ERROR
    assert "none.jsonl" in capsys.readouterr().err
    assert run.loads == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("below", ["", "mini"])
def test_training_data_of_our_models_are_those_of_their_recipes(folder: Path, below: str) -> None:
    place = folder / "data" / below
    for name in ("emoji/captions", "photos/captions", "clips/captions"):
        (place / name).parent.mkdir(parents=True)
        write_lines(place / f"{name}.train.jsonl", [{"text": f"in {name}"}])
        write_lines(place / f"{name}.test.jsonl", [{"text": "of the test"}])
    examined = [Record(None, ("in photos/captions", "in clips/captions", "of the test"))]

    mini = training_of("mini", given=[], folders=[folder / "data"]).overlap(examined, note="n")

    files = [f"{name}/captions.train.jsonl" for name in ("emoji", "photos", "clips")]
    assert sorted(mini["train"]["files"]) == sorted(files)
    assert {"text/captions.train.jsonl", "clips/order.train.jsonl"} <= set(mini["train"]["lacking"])
    assert mini["text"] == 2


def test_sources_of_every_stage_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.core.contamination.ROOT", folder)
    (folder / "recipes").mkdir()
    first, later = "{data: {train: [{path: first.jsonl}]}", "{data: {train: [{path: later.jsonl}]}}"
    (folder / "recipes" / "mini.yaml").write_text(f"{first}, stages: {{one: {{}}, two: {later}}}}}\n")
    for name in ("mini_clips", "mini_decoder"):
        (folder / "recipes" / f"{name}.yaml").write_text(f"{first}}}\n")
    for name in ("first", "later"):
        write_lines(folder / "data" / f"{name}.jsonl", [{"text": name}])
    training = training_of("mini", given=[], folders=[folder / "data"])
    assert training.overlap([Record(None, ("later",))], note="n")["text"] == 1


def test_folders_of_images_are_training_data_and_their_files_change_the_hash(folder: Path) -> None:
    bare = folder / "bare"
    bare.mkdir()
    (bare / "a.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    first = Training("a folder", files=[str(bare)])
    seen = [Record(folder / "data" / SUITE / f"{name}.jpg", ()) for name in PHOTOS]
    assert first.overlap(seen, note="n")["exact"] == 1
    (bare / "b.jpg").write_bytes((EXAMPLES / "coffee.jpg").read_bytes())
    second = Training("a folder", files=[str(bare)])
    assert second.digest != first.digest
    assert second.overlap(seen, note="n")["exact"] == 2
