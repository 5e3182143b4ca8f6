"""The suite of order: frames in any order, the opposite answers, the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from eval import registry
from eval.core.embedding import EncodedFrames
from eval.core.suite import Found, Suite
from eval.tasks import animations, order
from eval.tasks.questions_files import Question
from tests.conftest import write_rows
from tests.unit.eval.seer import context_of
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.clips import with_clips
from vljepa.configs import ClipsConfig, VLJEPAConfig, load_preset, validate
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder

FRAMES = 4
SIDES = {"left": (0, 1), "right": (1, 0)}


def asked(kind: str, answer: str, *candidates: str, image: str = "a.webp") -> Question:
    return Question(Path(image), "what?", (answer,), candidates, kind)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    raw = load_preset("toy").model_dump(mode="json")
    raw["x_encoder"]["pool_grid"] = 2
    torch.manual_seed(0)
    model = with_clips(
        VLJEPA.from_parts(validate(VLJEPAConfig, raw, where="test")), ClipsConfig(frames=FRAMES, changes=1, grid=1)
    )
    torch.nn.init.normal_(model.predictor.clip_changes.together.weight)
    torch.nn.init.normal_(model.predictor.clip_places.places)
    return Embedder(model, VLJEPAProcessor(model.config))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Clips of a square that moves to the left or to the right, with their questions."""
    folder = tmp_path_factory.mktemp("clips")
    questions: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    for number in range(12):
        way = "left" if number % 2 else "right"
        frames = []
        for step in range(FRAMES):
            image = Image.new("RGB", (64, 64), (40, 10 * number, 90))
            place = 12 * step + number
            image.paste((250, 250, 20), (place, 24, place + 14, 38))
            frames.append(image)
        frames = frames[::-1] if way == "left" else frames
        name = f"{number}.webp"
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], duration=250, lossless=True)
        row = {"video": name, "text": [way], "candidates": ["left", "right", "up", "down"], "synthetic": True}
        questions.append(row | {"query": "which way?", "type": "direction"})
        questions.append(
            row | {"query": "where first?", "type": "first side", "text": [way], "candidates": ["left", "right"]}
        )
        half = {"video": name, "end": 0.5, "candidates": ["here", "there"]}
        later.append(half | {"query": "next?", "type": "next", "text": ["there"]})
        later.append(half | {"query": "now?", "type": "now", "text": ["here" if number < 8 else "there"]})
    for role, rows in (("rows", questions), ("train", questions), ("next", later)):
        write_rows(folder / f"{role}.jsonl", rows)
    files = {role: f"{role}.jsonl" for role in ("rows", "train", "next")}
    suite = Suite(name="t", title="t", task="order", source="s", licence="l", split="test", files=files, protocol="p",
                  overlap="o")  # fmt: skip
    return Found(suite, folder, {role: folder / name for role, name in files.items()})


def test_a_clip_in_order_is_what_the_model_sees_of_the_file(embedder: Embedder, found: Found) -> None:
    files = [found.folder / f"{number}.webp" for number in range(3)]
    clips = EncodedFrames(embedder, files, frames=FRAMES)
    questions = [asked("direction", "left", "left", "right", image=str(file)) for file in files]
    in_order = clips.ask(questions, range(FRAMES))
    np.testing.assert_allclose(in_order, embedder.pairs(files, ["what?"] * 3), atol=1e-5)
    assert np.abs(clips.ask(questions, [3, 2, 1, 0]) - in_order).max() > 1e-3
    frame = clips.ask(questions, [1, 1, 1, 1])
    assert np.abs(frame - in_order).max() > 1e-3
    mixed = clips.ask(questions, [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_allclose(mixed[0], in_order[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], clips.ask(questions, [3, 2, 1, 0])[1], atol=1e-5)
    np.testing.assert_allclose(mixed[2], frame[2], atol=1e-5)


def test_answers_of_clips_that_run_backwards() -> None:
    questions = [
        asked("direction", "up", "left", "right", "up", "down"),
        asked("first side", "left", "left", "right"),
        asked("begins", "it moves", "it changes size", "it moves"),
        asked("what", "fox", "cat", "dog", "fox"),
    ]
    assert [one.answers[0] for one in order.turned(questions)] == ["down", "right", "it changes size", "fox"]


def test_every_control_is_asked_of_every_question(
    embedder: Embedder, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []

    def see(clips: EncodedFrames, questions: list[Question], frames: list[int]) -> Any:
        """A model that is right in order, and says the opposite backwards."""
        if clips.frames == FRAMES:
            orders.append(list(frames))
        backwards = list(frames) == list(range(clips.frames))[::-1]
        told = order.turned(questions) if backwards else questions
        return embedder.texts([one.answers[0] for one in told])

    monkeypatch.setattr(EncodedFrames, "ask", see)
    measured = order.measure(context_of(found, embedder), shuffles=3, seed=1)
    result, examined = measured.content(), measured.examined
    assert {str(one.image) for one in examined} == {str(found.folder / f"{number}.webp") for number in range(12)}
    assert {one.query for one in examined} == {row["query"] for _, row in found.table("rows")}
    assert orders[:2] == [[0, 1, 2, 3], [3, 2, 1, 0]]
    assert [sorted(one) for some in orders[2:5] for one in some] == [[0, 1, 2, 3]] * 36
    assert len({tuple(one) for one in orders[2]}) > 4, "an order of its own for each clip"
    assert orders[5:9] == [[frame] * FRAMES for frame in range(FRAMES)]

    def share(name: str, group: str) -> float:
        return float(result["metrics"][group][name]["mean"])

    for group in ("direction", "order"):
        assert share("in order", group) == 1
        assert share("reversed", group) == 0
        assert share("reversed, opposite answer", group) == 1
    assert share("question alone", "order") == 0.5
    ahead = {name: (row["all"]["mean"], row["moving"]["items"]) for name, row in
             result["anticipation"].items()}  # fmt: skip
    assert ahead["model"] == (1, 8)
    assert ahead["present"] == (pytest.approx(4 / 12), 8)
    text = registry.tables("order", result)
    assert "| **direction** (12) | 100.0 [100.0, 100.0] |" in text
    assert json.loads(json.dumps(result)) == result


def test_the_weak_groups_are_named() -> None:
    def row(in_order: float, shuffled: float) -> dict[str, Any]:
        return {name: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1} for name, mean in
                (("in order", in_order), ("shuffled", shuffled))}  # fmt: skip

    metrics = {"direction": row(0.9, 0.5), "order, by name": row(0.6, 0.5), "how many": row(0.3, 0.3)}
    assert order.derived({"metrics": metrics})["weak"] == "order, by name (60.0 [50.0, 70.0] in order, 50.0 shuffled)"


def test_a_model_of_images_is_refused(found: Found) -> None:
    model = VLJEPA(load_preset("toy")).eval()
    with pytest.raises(ConfigError, match="needs a model of clips"):
        order.measure(context_of(found, Embedder(model, VLJEPAProcessor(model.config))), shuffles=1, seed=0)


def test_names_of_animations_by_all_frames_and_by_one(
    embedder: Embedder, found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"video": f"{number}.webp", "text": name} for number, name in enumerate(("fox", "cat", "dog"))]
    write_rows(tmp_path / "animations.jsonl", rows)
    for number in range(3):
        (tmp_path / f"{number}.webp").write_bytes((found.folder / f"{number}.webp").read_bytes())
    here = Found(found.suite, tmp_path, {"rows": tmp_path / "animations.jsonl"})
    names = iter(["fox", "cat", "cat", "fox", "fox", "dog"])
    monkeypatch.setattr(embedder, "images", lambda images: embedder.texts([next(names)]))
    result = animations.measure(context_of(here, embedder))
    assert [one.texts for one in result.examined or ()] == [("fox",), ("cat",), ("dog",)]
    metrics = result.metrics
    assert metrics["all frames"]["accuracy"]["mean"] == pytest.approx(2 / 3)
    assert metrics["one frame"]["accuracy"]["mean"] == pytest.approx(1 / 3)
    assert metrics["all frames minus one"]["accuracy"]["mean"] == pytest.approx(1 / 3)
