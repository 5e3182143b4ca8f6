"""PITFALLS 7: a collapsed model, whose embeddings are all equal, gets chance or 0 from every metric.

Words do not come from embeddings directly: a decoder that ignores its embedding says one text, always.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vljepa import metrics

COUNT, CHOICES, WIDTH = 24, 4, 8
CONSTANT = np.full((COUNT, WIDTH), WIDTH**-0.5, dtype=np.float32)
LABELS = np.arange(COUNT) % CHOICES
CLIPS = np.repeat(CONSTANT[:, None], CHOICES, axis=1)
CAPTIONS = [[f"a {colour} {thing} on a {place}"] for colour in ("red", "blue") for thing in ("cat", "dog", "cup")
            for place in ("bed", "road", "table", "hill")]  # fmt: skip
ANSWERS = ["yes", "no"] * (COUNT // 2)

# By name: the score of a constant model, and the most that chance would give.
SCORES: dict[str, tuple[Callable[[], float], float]] = {
    "retrieval R@1": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row] for row in range(COUNT)])["r1"], 0.0),
    "retrieval R@10": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row] for row in range(COUNT)])["r10"], 0.0),
    "classification top-1": (
        lambda: metrics.top_k_hits(CONSTANT @ CONSTANT[:CHOICES].T, LABELS).mean(), 0.0),
    "mean per class": (
        lambda: metrics.mean_per_class(metrics.top_k_hits(CONSTANT @ CONSTANT[:CHOICES].T, LABELS), LABELS), 0.0),
    "text triplets": (lambda: metrics.triplet_hits(CONSTANT, CONSTANT, CONSTANT).mean(), 0.0),
    "image-text pairs": (lambda: metrics.pair_hits(CONSTANT, CONSTANT, CONSTANT).mean(), 0.0),
    "winoground": (
        lambda: max(metrics.winoground(CONSTANT.reshape(-1, 2, WIDTH), CONSTANT.reshape(-1, 2, WIDTH)).values()), 0.0),
    "multiple choice": (lambda: metrics.multiple_choice(CONSTANT, CLIPS, LABELS), 0.0),
    "matched minus shuffled": (lambda: metrics.matched_minus_shuffled(CONSTANT, CONSTANT), 1e-6),
    "CIDEr-D": (lambda: metrics.CiderD(CAPTIONS).scores(CAPTIONS[0] * COUNT).mean() / 10, 0.3),
    "distinct share": (lambda: metrics.distinct_share(CAPTIONS[0] * COUNT), 1 / COUNT),
    "VQAv2": (lambda: float(np.mean([metrics.vqa_v2_score("yes", [one] * 10) for one in ANSWERS])), 0.5),
    "TallyQA": (
        lambda: metrics.tally_accuracy(["one"] * COUNT, list(LABELS), simple=[True] * COUNT)["all"], 1 / CHOICES),
    "POPE": (lambda: metrics.pope(["yes"] * COUNT, ANSWERS)["accuracy"], 0.5),
    "POPEv2 pairs": (
        lambda: metrics.pair_accuracy([one == "yes" for one in ANSWERS], [str(n // 2) for n in range(COUNT)]), 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_a_collapsed_model_scores_chance_or_zero(name: str) -> None:
    score, chance = SCORES[name]
    assert 0 <= score() + 1e-9 <= chance + 1e-6
