"""Adaptation: an earlier result's arms are taken over with where they come from, and the report says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval import registry
from eval.studies.adaptation import probe, sample
from vljepa.metrics import top_k_hits

ORIGIN = {
    "command": "python eval/run.py adaptation",
    "commit": "0123456789abcdef",
    "uncommitted_changes": False,
    "date": "2026-11-24",
    "hardware": "a CPU",
    "versions": {},
}
KEPT = {"photos_r1": 0.4, "emoji_r1": 0.3, "questions": 0.8}


def row(arm: str, shots: int, seed: int, accuracy: float) -> dict[str, Any]:
    figures = {"accuracy": accuracy, "r1": 0.5}
    return {"arm": arm, "shots": shots, "seed": seed, **figures, **({} if arm == "linear probe" else KEPT)}


def result() -> dict[str, Any]:
    rows = [row("zero-shot", 0, 0, 0.1), *(row("linear probe", 3, seed, 0.6) for seed in (0, 1))]
    rows += [row("LoRA", 3, seed, 0.5 + 0.1 * seed) for seed in (0, 1)]
    return {**ORIGIN, "pool": 250, "protocol": {"data": "photos"}, "rows": rows}


def test_the_report_gives_mean_and_deviation_and_says_what_was_taken_over() -> None:
    whole = result()
    text = registry.tables("adaptation", whole | {"kept": [{"arms": ["zero-shot", "linear probe"], **ORIGIN}]})
    assert text is not None
    assert "| LoRA | 55.0 (7.1) / 50.0 |" in text
    assert "| zero-shot | 10.0 / 50.0 |" in text
    assert "taken over from an earlier run: zero-shot, linear probe, of commit 0123456789ab" in text.lower()
    assert "earlier run" not in str(registry.tables("adaptation", whole))


def test_the_sample_is_of_each_kind_and_the_probe_tells_what_can_be_told() -> None:
    rows = [{"image": f"{kind}{number}", "text": kind} for kind in "abc" for number in range(6)]
    few = sample(rows, 2, seed=0)
    assert [one["text"] for one in few] == list("aabbcc")
    assert few != sample(rows, 2, seed=1)
    place = {kind: np.eye(3)["abc".index(kind)] for kind in "abc"}
    features = {one["image"]: place[one["text"]] for one in rows}
    assert probe(features, few, rows, rows)["accuracy"] == 1
    shuffled = {one["image"]: place["abc"[number % 3]] for number, one in enumerate(rows)}
    assert probe(shuffled, few, rows, rows)["accuracy"] < 0.7


def test_the_probe_is_chosen_on_validation_and_not_on_the_test() -> None:
    """On noise another strength is the best on each: the test must not have a say."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    disagreed = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        rows = [{"image": str(number), "text": "abc"[number % 3]} for number in range(90)]
        features = {row["image"]: random.standard_normal(20) + 0.6 * (row["text"] == "a") for row in rows}
        train, held, test = rows[:30], rows[30:60], rows[60:]

        def arrays(some: list[dict[str, str]], features: Any = features) -> Any:
            return np.stack([features[row["image"]] for row in some]), [row["text"] for row in some]

        scores = []
        for strength in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)).fit(*arrays(train))
            labels = np.array(["abc".index(row["text"]) for row in test])
            hits = top_k_hits(model.decision_function(arrays(test)[0]), labels).mean()
            scores.append((model.score(*arrays(held)), hits))
        wanted = max(scores, key=lambda pair: pair[0])[1]
        disagreed += wanted < max(hit for _, hit in scores)
        assert probe(features, train, held, test)["accuracy"] == wanted
    assert disagreed > 2
