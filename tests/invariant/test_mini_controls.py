"""Does the shipped model look at the image and read the question? Controls on a small sample of the test split.

The sample (tests/assets/mini_sample, made by tests/assets/make_samples.py) has 120 easy-vqa test questions, 40 a
type, with the chance that a classifier of the question alone gets each right, and 60 emoji of held-out concepts. The
bounds allow for its size: one standard error of a share of 120 is at most 4.6 points.

`VLJEPA_CONTROL_MODEL=runs/mine/best pytest tests/invariant/test_mini_controls.py` runs the same on another model.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.metrics import effective_rank, matched_minus_shuffled, top_k_hits
from vljepa.metrics.retrieval import retrieval
from vljepa.models.residuals import Ablation
from vljepa.models.types import Latents

pytestmark = pytest.mark.assets

SAMPLE = Path(__file__).parents[1] / "assets" / "mini_sample"
MODEL = os.environ.get("VLJEPA_CONTROL_MODEL", "mini")
Rows = NDArray[np.float32]


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


def standard_error(share: float, count: int) -> float:
    return math.sqrt(max(share * (1 - share), 0.01) / count)


class Mini:
    """The model with the sample; every image is encoded once."""

    def __init__(self, model: VLJEPA, processor: VLJEPAProcessor) -> None:
        self.model, self.processor = model, processor
        self.questions, self.emoji = read("questions.jsonl"), read("emoji.jsonl")
        self._seen: dict[Path | None, Latents] = {}

    @torch.inference_mode()
    def encode(self, images: Sequence[Path | None]) -> Latents:
        """Visual tokens of images, all of one batch; None is a grey one."""
        blank = Image.new("RGB", (64, 64), (127, 127, 127))
        return self.model.encode_vision(self.processor.images([path or blank for path in images]))

    def tokens(self, images: Sequence[Path | None]) -> Latents:
        """The same from memory."""
        new = [path for path in dict.fromkeys(images) if path not in self._seen]
        for start in range(0, len(new), 8):
            seen = self.encode(new[start : start + 8])
            logits = [None] * len(seen.mask_BN) if seen.logits_BK is None else seen.logits_BK.split(1)
            parts = zip(seen.tokens_BND.split(1), seen.mask_BN.split(1), logits, strict=True)
            self._seen.update(zip(new[start : start + 8], (Latents(*part) for part in parts), strict=True))
        return join([self._seen[path] for path in images])

    @torch.inference_mode()
    def predict(self, vision: Latents, queries: list[str], *, ablate: Ablation | None = None) -> Rows:
        tokens = self.processor.queries(queries)
        rows: Rows = self.model.predict(vision, tokens, ablate=ablate).numpy()
        return rows

    @torch.inference_mode()
    def texts(self, texts: list[str]) -> Rows:
        tokens = self.processor.targets(texts)
        rows: Rows = self.model.encode_text(tokens).numpy()
        return rows

    def accuracy(self, images: Sequence[Path | None], queries: list[str]) -> float:
        """Share of the sample's questions that are answered right with these images and queries."""
        return float(self.hits(images, queries).mean())

    def hits(self, images: Sequence[Path | None], queries: list[str]) -> NDArray[np.bool_]:
        """Which of the sample's questions are answered right with these images and queries."""
        answers = self.questions[0]["candidates"]
        assert all(row["candidates"] == answers for row in self.questions)
        labels = np.array([answers.index(row["text"][0]) for row in self.questions])
        return top_k_hits(self.predict(self.tokens(images), queries) @ self.texts(answers).T, labels)

    @property
    def question_images(self) -> list[Path]:
        return [SAMPLE / row["image"] for row in self.questions]

    @property
    def queries(self) -> list[str]:
        return [row["query"] for row in self.questions]

    def describe(self, ablate: Ablation | None = None) -> Rows:
        """Predictions for the emoji under the caption prompt."""
        vision = self.tokens([SAMPLE / row["image"] for row in self.emoji])
        return self.predict(vision, [self.model.config.prompts.caption] * len(self.emoji), ablate=ablate)


def join(parts: Sequence[Latents]) -> Latents:
    logits = [part.logits_BK for part in parts if part.logits_BK is not None]
    return Latents(
        torch.cat([part.tokens_BND for part in parts]),
        torch.cat([part.mask_BN for part in parts]),
        torch.cat(logits) if logits else None,
    )


@pytest.fixture(scope="module")
def mini() -> Mini:
    return Mini(VLJEPA.from_pretrained(MODEL), VLJEPAProcessor.from_pretrained(MODEL))


@pytest.fixture(scope="module")
def accuracy(mini: Mini) -> float:
    return mini.accuracy(mini.question_images, mini.queries)


@pytest.fixture(scope="module")
def question_only(mini: Mini) -> float:
    return float(np.mean([row["question_only"] for row in mini.questions]))


def test_sample_is_whole(mini: Mini, question_only: float) -> None:
    """The bounds below stand on these numbers."""
    assert (len(mini.questions), len(mini.emoji)) == (120, 60)
    assert {row["type"] for row in mini.questions} == {"colour", "shape", "yesno"}
    assert len({row["text"] for row in mini.emoji}) == 60
    assert 0.3 < question_only < 0.5


def test_questions_are_answered_from_the_image(accuracy: float, question_only: float) -> None:
    """99 of 100 are expected; six standard errors (27 points) above question-only is no chance at all."""
    assert accuracy > question_only + 6 * standard_error(0.5, 120)


@pytest.mark.parametrize("control", ["blank", "swapped"])
def test_without_the_right_image_the_model_knows_no_more_than_the_question(
    mini: Mini, question_only: float, control: str
) -> None:
    """Three standard errors of tolerance: the sample is small, and both guess."""
    images: list[Path | None] = [None] * len(mini.questions)
    if control == "swapped":
        by_type = {
            kind: [row for row in mini.questions if row["type"] == kind] for kind in ("colour", "shape", "yesno")
        }
        turned = {kind: rows[7:] + rows[:7] for kind, rows in by_type.items()}
        following = {kind: iter(rows) for kind, rows in turned.items()}
        others = [next(following[row["type"]]) for row in mini.questions]
        same = sum(other["image"] == row["image"] for other, row in zip(others, mini.questions, strict=True))
        assert same <= 3, "the sample's order puts an image beside itself"
        images = [SAMPLE / row["image"] for row in others]
    hits = mini.hits(images, mini.queries)
    assert hits.mean() <= question_only + 3 * standard_error(question_only, 120)
    for kind in ("colour", "shape", "yesno"):
        rows = [row["type"] == kind for row in mini.questions]
        known = float(np.mean([row["question_only"] for row in mini.questions if row["type"] == kind]))
        assert hits[rows].mean() <= known + 3 * standard_error(max(known, 0.1), sum(rows)), kind


def test_without_the_query_accuracy_falls_by_twenty_points(mini: Mini, accuracy: float) -> None:
    """A model that ignores its query would lose nothing."""
    prompt = mini.model.config.prompts.caption
    assert mini.accuracy(mini.question_images, [prompt] * len(mini.questions)) <= accuracy - 0.2


@pytest.mark.parametrize("direction", ["image_to_text", "text_to_image"])
def test_emoji_of_unseen_concepts_are_found(mini: Mini, direction: str) -> None:
    """Chance is 1 of 60; 12 right ones by chance have a probability below 1e-9."""
    images, texts = mini.describe(), mini.texts([row["text"] for row in mini.emoji])
    sides = (images, texts) if direction == "image_to_text" else (texts, images)
    assert retrieval(*sides, positives=[[number] for number in range(60)])["r1"] >= 0.2


def test_the_learned_part_is_alive(mini: Mini) -> None:
    """A residual that carried all the score would leave nothing when it is zeroed: chance is 1 of 60, five 1e-3."""
    prior = mini.model.config.residual
    if prior is None or not prior.gated:
        pytest.skip("this model has no residual")
    texts = mini.texts([row["text"] for row in mini.emoji])
    alone = mini.describe("residual")
    assert retrieval(alone, texts, positives=[[number] for number in range(60)])["r1"] >= 5 / 60


def test_embeddings_are_not_collapsed(mini: Mini) -> None:
    """Of 60 images a collapsed space uses 1 direction; predictions are nearer to their own texts than to others."""
    images, texts = mini.describe(), mini.texts([row["text"] for row in mini.emoji])
    assert effective_rank(images) > 20
    assert effective_rank(texts) > 20
    assert matched_minus_shuffled(images, texts) > 0.1


def test_predictions_do_not_depend_on_batch_mates(mini: Mini) -> None:
    """Alone, together, and under padding by a longer query: equal up to the order of float32 sums."""
    images, queries = mini.question_images[:8], mini.queries[:8]
    together = mini.predict(mini.encode(images), queries)
    alone = [mini.predict(mini.encode([path]), [query]) for path, query in zip(images, queries, strict=True)]
    longer = mini.predict(mini.encode([*images, images[0]]), [*queries, "is there " * 12 + "?"])[:8]
    assert np.abs(together - np.concatenate(alone)).max() < 1e-4
    assert np.abs(together - longer).max() < 1e-4
