"""Does the shipped mini tell the order of frames, and by nothing but their order?

The clips (tests/assets/mini_clips, made by tests/assets/make_samples.py) are synthetic: test sprites over test
backgrounds, asked in wordings of the test. They are 12 about a direction, 12 about what came first and 12 about what
vanished; the bounds allow for that. docs/order.md has the whole test set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.core.embedding import EncodedFrames
from eval.tasks.order import hits, turned
from eval.tasks.questions import answer
from eval.tasks.questions_files import Question
from vljepa import ask
from vljepa.inference.embed import Embedder

pytestmark = pytest.mark.assets

SAMPLE = Path(__file__).parents[1] / "assets" / "mini_clips"
IMAGES = Path(__file__).parents[2] / "examples" / "images"
MODEL = os.environ.get("VLJEPA_ORDER_MODEL", "mini")
FRAMES = 8


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_pretrained(MODEL, device="cpu")


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    rows = [json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["synthetic"] for row in rows)
    return [
        Question(SAMPLE / row["video"], row["query"], tuple(row["text"]), tuple(row["candidates"]), row["type"])
        for row in rows
    ]


@pytest.fixture(scope="module")
def clips(embedder: Embedder, questions: list[Question]) -> EncodedFrames:
    return EncodedFrames(embedder, sorted({one.image for one in questions}), frames=FRAMES)


def right(
    embedder: Embedder, clips: EncodedFrames, questions: list[Question], order: list[int], *, turn: bool = False
) -> float:
    said, _ = answer(questions, clips.ask(questions, order), embedder)
    return float(hits(turned(questions) if turn else questions, said).mean())


def test_order_is_told_and_turns_round_with_the_frames(
    embedder: Embedder, clips: EncodedFrames, questions: list[Question]
) -> None:
    order = list(range(FRAMES))
    assert right(embedder, clips, questions, order) > 0.75
    assert right(embedder, clips, questions, order[::-1]) < 0.25
    assert right(embedder, clips, questions, order[::-1], turn=True) > 0.75


def test_without_the_order_it_is_chance(embedder: Embedder, clips: EncodedFrames, questions: list[Question]) -> None:
    """Half for shuffled frames (four directions show their axis), and less or as much for one frame."""
    random = np.random.default_rng(0)
    shuffled = [right(embedder, clips, questions, random.permutation(FRAMES).tolist()) for _ in range(10)]
    assert 0.3 < np.mean(shuffled) < 0.65
    single = [right(embedder, clips, questions, [frame] * FRAMES) for frame in range(FRAMES)]
    assert np.mean(single) < 0.6


def test_images_are_answered_as_mini_answers_them(embedder: Embedder) -> None:
    mini = Embedder.from_pretrained("mini", device="cpu")
    images = sorted(str(path) for path in IMAGES.glob("*.jpg"))
    for query in ("", "what colour is it?"):
        ours, theirs = (one.images(images, query=query) for one in (embedder, mini))
        assert np.array_equal(ours, theirs)


def test_a_file_is_answered_as_its_frames_are(
    embedder: Embedder, clips: EncodedFrames, questions: list[Question]
) -> None:
    some = questions[:4]
    said, _ = answer(some, clips.ask(some, range(FRAMES)), embedder)
    for one, text in zip(some, said, strict=True):
        given: dict[str, Any] = {"question": one.query, "choices": one.candidates}
        [guess] = ask(embedder.model, embedder.processor, one.image, **given)
        assert guess.label == text
