"""PITFALLS 7: a collapsed model, whose embeddings are all equal, gets chance or 0 from every metric.

Words do not come from embeddings directly: a decoder that ignores its embedding says one text, always.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vljepa import metrics

COUNT, CHOICES, WIDTH = 24, 4, 8
CONSTANT = np.full((COUNT, WIDTH), WIDTH**-0.5, dtype=np.float32)
LABELS = np.arange(COUNT) % CHOICES
CLIPS = np.repeat(CONSTANT[:, None], CHOICES, axis=1)
CAPTIONS = [[f"a {colour} {thing} on a {place}"] for colour in ("red", "blue") for thing in ("cat", "dog", "cup")
            for place in ("bed", "road", "table", "hill")]  # fmt: skip
REFERENCES = [one * 2 for one in CAPTIONS]
SAID = CAPTIONS[0] * COUNT
ANSWERS = ["yes", "no"] * (COUNT // 2)
EVENLY = np.full((COUNT, CHOICES), 1 / CHOICES)
Words = Callable[[list[str]], float]


def drawn(score: Words) -> float:
    """The most that right texts score when they are dealt out by chance, 200 times over."""
    random = np.random.default_rng(0)
    said = np.array([one for [one] in CAPTIONS])
    return max(score(random.choice(said, COUNT).tolist()) for _ in range(200))


def cider(said: list[str]) -> float:
    return float(metrics.CiderD(REFERENCES).scores(said).mean())


def bleu(said: list[str]) -> float:
    return metrics.bleu4(said, REFERENCES)


def rouge(said: list[str]) -> float:
    return metrics.rouge_l(said, REFERENCES)


def selective(said: list[str]) -> float:
    """A decode each second, and an annotation between any two."""
    times = np.arange(COUNT, dtype=np.float64)
    scorer = metrics.CiderD(REFERENCES)
    return float(np.mean([scorer.score(item, said[metrics.nearest(times, item + 0.4)]) for item in range(COUNT)]))


# By name: the score of a constant model, and the most that chance would give.
SCORES: dict[str, tuple[Callable[[], float], Callable[[], float] | float]] = {
    "retrieval R@1": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row] for row in range(COUNT)])["r1"], 0.0),
    "retrieval R@10": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row] for row in range(COUNT)])["r10"], 0.0),
    "retrieval of several": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row, (row + 1) % COUNT] for row in range(COUNT)])[
            "r10"], 0.0),
    "retrieval MRR": (
        lambda: metrics.retrieval(CONSTANT, CONSTANT, positives=[[row] for row in range(COUNT)])["mrr"], 1 / COUNT),
    "classification top-1": (
        lambda: metrics.top_k_hits(CONSTANT @ CONSTANT[:CHOICES].T, LABELS).mean(), 0.0),
    "classification top-2": (
        lambda: metrics.top_k_hits(CONSTANT @ CONSTANT[:CHOICES].T, LABELS, k=2).mean(), 0.0),
    "templates": (
        lambda: metrics.top_k_hits(CONSTANT @ metrics.mean_of_templates(np.stack([CONSTANT[:CHOICES]] * 3)).T,
                                   LABELS).mean(), 0.0),
    "mean per class": (
        lambda: metrics.mean_per_class(metrics.top_k_hits(CONSTANT @ CONSTANT[:CHOICES].T, LABELS), LABELS), 0.0),
    # The share of the worst error that its confidence, 1 / C, can have.
    "calibration": (lambda: 1 - metrics.expected_calibration_error(EVENLY, LABELS) * CHOICES, 0.0),
    "text triplets": (lambda: metrics.triplet_hits(CONSTANT, CONSTANT, CONSTANT).mean(), 0.0),
    "text triplets, macro": (
        lambda: metrics.by_category(metrics.triplet_hits(CONSTANT, CONSTANT, CONSTANT), ANSWERS)["macro"], 0.0),
    "image-text pairs": (lambda: metrics.pair_hits(CONSTANT, CONSTANT, CONSTANT).mean(), 0.0),
    "winoground": (
        lambda: max(metrics.winoground(CONSTANT.reshape(-1, 2, WIDTH), CONSTANT.reshape(-1, 2, WIDTH)).values()), 0.0),
    "multiple choice": (lambda: metrics.multiple_choice(CONSTANT, CLIPS, LABELS), 0.0),
    "matched minus shuffled": (lambda: metrics.matched_minus_shuffled(CONSTANT, CONSTANT), 1e-6),
    "effective rank": (lambda: metrics.effective_rank(CONSTANT) - 1, 1e-6),
    "uniformity": (lambda: -metrics.uniformity(CONSTANT), 1e-6),
    "CIDEr-D": (lambda: cider(SAID), lambda: drawn(cider)),
    "BLEU-4": (lambda: bleu(SAID), lambda: drawn(bleu)),
    "ROUGE-L": (lambda: rouge(SAID), lambda: drawn(rouge)),
    "distinct share": (lambda: metrics.distinct_share(SAID), 1 / COUNT),
    "selective decoding": (lambda: selective(SAID), lambda: drawn(selective)),
    "round trip": (
        lambda: metrics.round_trip([one for [one] in CAPTIONS], SAID, text_ND=CONSTANT, decoded_ND=CONSTANT)[
            "above_others"], 1e-6),
    "round trip, exact": (
        lambda: metrics.round_trip([one for [one] in CAPTIONS], SAID, text_ND=CONSTANT, decoded_ND=CONSTANT)["exact"],
        1 / COUNT),
    "VQAv2": (lambda: float(np.mean([metrics.vqa_v2_score("yes", [one] * 10) for one in ANSWERS])), 0.5),
    "exact match": (lambda: float(np.mean([metrics.exact_match("yes", [one]) for one in ANSWERS])), 0.5),
    "TallyQA": (
        lambda: metrics.tally_accuracy(["one"] * COUNT, list(LABELS), simple=[True] * COUNT)["all"], 1 / CHOICES),
    "POPE accuracy": (lambda: metrics.pope(["yes"] * COUNT, ANSWERS)["accuracy"], 0.5),
    # Who always says yes has 2/3; that is why accuracy stands beside it.
    "POPE F1": (lambda: metrics.pope(["yes"] * COUNT, ANSWERS)["f1"], 2 / 3),
    "AUROC": (lambda: metrics.auroc(np.ones(COUNT), np.arange(COUNT) % 2 == 0), 0.5),
    "POPEv2 pairs": (
        lambda: metrics.pair_accuracy([one == "yes" for one in ANSWERS], [str(n // 2) for n in range(COUNT)]), 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_a_collapsed_model_scores_chance_or_zero(name: str) -> None:
    score, chance = SCORES[name]
    most = chance if isinstance(chance, float) else chance()
    assert 0 <= score() + 1e-9 <= most + 1e-6


NO_SCORES = {
    "Curve", "by_category", "cider_at", "count_candidates", "count_of", "covering", "fit_temperature",
    "fit_temperature_by_count", "mean_length", "meteor_is_there", "normalise_answer", "saving", "softmax",
    "tokenize", "yes_or_no",
}  # fmt: skip


def test_every_metric_of_the_package_is_here() -> None:
    """METEOR runs Java, and is in its own test."""
    text = Path(__file__).read_text(encoding="utf-8")
    lacking = [one for one in metrics.__all__ if one not in NO_SCORES | {"meteor"} and f"metrics.{one}(" not in text]
    assert not lacking
