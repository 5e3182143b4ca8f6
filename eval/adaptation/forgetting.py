"""What a model still knows of mini's own test sets after it was adapted to something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eval.mini.data import read_captions, read_questions
from vljepa.inference.embed import Embedder
from vljepa.metrics import retrieval

STYLE = "fluent"
QUESTIONS = 100
KINDS = ("easy_vqa", "emoji", "photos")


def remembered(embedder: Embedder, mini_data: Path) -> dict[str, float]:
    """Image-to-text R@1 on the test photos and emoji, and accuracy on closed questions, all 0 to 1.

    Args:
        embedder: The adapted model.
        mini_data: Prepared folder of recipes/mini/prepare.py.
    """
    return {
        "photos_r1": _captions(embedder, mini_data, "photos"),
        "emoji_r1": _captions(embedder, mini_data, "emoji"),
        "questions": float(np.mean([_questions(embedder, mini_data, kind) for kind in KINDS])),
    }


def _captions(embedder: Embedder, mini_data: Path, source: str) -> float:
    items = [one for one in read_captions(mini_data, source, "test") if source != "emoji" or one.style == STYLE]
    texts = list(dict.fromkeys(text for one in items for text in one.texts))
    places = {text: place for place, text in enumerate(texts)}
    positives = [[places[text] for text in one.texts] for one in items]
    pictures_ND = embedder.images([one.path for one in items])
    return retrieval(pictures_ND, embedder.texts(texts), positives=positives)["r1"]


def _questions(embedder: Embedder, mini_data: Path, source: str) -> float:
    questions = read_questions(mini_data, source, "test")
    hits = []
    for question in questions[:: max(1, len(questions) // QUESTIONS)]:
        assert isinstance(question.image, Path)
        row_D = embedder.images([question.image], query=question.query)[0]
        scores = embedder.texts(question.candidates) @ row_D
        right = question.candidates.index(question.texts[0])
        others = np.delete(scores, right)
        hits.append(bool(scores[right] > others.max()))  # a tie is wrong
    return float(np.mean(hits))
