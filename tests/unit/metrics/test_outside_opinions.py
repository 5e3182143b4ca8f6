"""Our figures against other people's code: pytrec_eval, scikit-learn, pycocoevalcap and METEOR's own program."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from vljepa import metrics
from vljepa.errors import DataError
from vljepa.metrics.retrieval import retrieval_ranks

METEOR = [0.23508405793, 0.23021582734, 0.31363577248, 0.34352260239, 0.16169753392, 0.20658277601]
CAPTIONS = Path(__file__).parents[2] / "assets" / "mini_words" / "photos.json"


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_retrieval_agrees_with_trec_eval() -> None:
    import pytrec_eval

    items = unit(200, 12, 1)
    queries = items[:60] + 1.5 * unit(60, 12, 0)
    positives = [[row, row + 60, (7 * row) % 200] for row in range(60)]
    judged = {str(row): {str(item): 1 for item in mine} for row, mine in enumerate(positives)}
    scores = {
        str(row): {str(item): float(value) for item, value in enumerate(values)}
        for row, values in enumerate(queries @ items.T)
    }
    measured = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank", "success"}).evaluate(scores)
    ours = metrics.retrieval(queries, items, positives=positives, chunk=17)
    for k in (1, 5, 10):
        assert ours[f"r{k}"] == pytest.approx(np.mean([one[f"success_{k}"] for one in measured.values()]))
    assert 0 < ours["r1"] < ours["r5"] < ours["r10"] < 1
    assert ours["mrr"] == pytest.approx(np.mean([one["recip_rank"] for one in measured.values()]), abs=1e-6)


def test_classification_agrees_with_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

    random = np.random.default_rng(0)
    labels = random.choice(6, size=400, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    scores = random.normal(size=(400, 6)) + 1.2 * np.eye(6)[labels]
    for k in (1, 3):
        assert metrics.top_k_hits(scores, labels, k=k).mean() == top_k_accuracy_score(labels, scores, k=k)
    hits = metrics.top_k_hits(scores, labels)
    assert metrics.mean_per_class(hits, labels) == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    probabilities = metrics.softmax(scores, temperature=0.7)
    confidence = probabilities.max(1)
    true, said = calibration_curve(hits, confidence, n_bins=15)
    counts = np.histogram(confidence, bins=np.linspace(0, 1, 16))[0]
    gap = np.sum(counts[counts > 0] * np.abs(true - said)) / 400
    assert metrics.expected_calibration_error(probabilities, labels) == pytest.approx(gap)
    assert gap > 0.01


def test_pope_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    random = np.random.default_rng(1)
    said, labels = random.choice(["Yes.", "no"], 300), random.choice(["yes", "no"], 300)
    read = [metrics.yes_or_no(text) for text in said]
    precision, recall, f1, _ = precision_recall_fscore_support(labels, read, pos_label="yes", average="binary")
    ours = metrics.pope(list(said), list(labels))
    assert ours["accuracy"] == accuracy_score(labels, read)
    assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx([precision, recall, f1])


def said_by_people() -> tuple[list[str], list[list[str]]]:
    """A person's caption of each of 84 photos, and four others'; tokens joined by spaces, as the scorers want them."""
    photos = json.loads(CAPTIONS.read_text(encoding="utf-8"))["photos"]
    texts = [[" ".join(metrics.tokenize(text)) for text in photo["captions"]] for photo in photos]
    return [one[0] for one in texts], [one[1:5] for one in texts]


def test_captions_agree_with_the_coco_evaluation() -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    candidates, references = said_by_people()
    said = {item: [text] for item, text in enumerate(candidates)}
    right = dict(enumerate(references))
    cider, each = Cider().compute_score(right, said)
    assert metrics.CiderD(references).scores(candidates) == pytest.approx(each, abs=1e-9)
    assert 0.5 < cider < 2
    assert metrics.bleu4(candidates, references) == pytest.approx(Bleu(4).compute_score(right, said, 0)[0][3], abs=1e-8)
    assert metrics.rouge_l(candidates, references) == pytest.approx(Rouge().compute_score(right, said)[0], abs=1e-12)


@pytest.mark.skipif(not metrics.meteor_is_there(), reason="METEOR needs Java and pycocoevalcap")
def test_meteor_is_its_authors_and_a_constant_caption_scores_chance() -> None:
    """Figures recorded from pycocoevalcap 1.2 on 2026-11-25; the last three items are answered with the first one's."""
    candidates, references = (some[:6] for some in said_by_people())
    whole, each = metrics.meteor(candidates + candidates[:1] * 3, references + references[1:4])
    assert each[:6] == pytest.approx(METEOR)
    assert each[6:].mean() < 0.6 * each[:6].mean()
    assert 0.15 < whole < 0.3


def test_meteor_without_java_says_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not metrics.meteor_is_there()
    with pytest.raises(DataError, match="METEOR needs Java"):
        metrics.meteor(["a cat"], [["a cat"]])


def test_twenty_thousand_by_twenty_thousand_takes_less_than_a_gigabyte() -> None:
    """The product alone would take 1.6 GB; NumPy's arrays are traced, and the peak is above the inputs."""
    count = 20_000
    queries, items = unit(count, 16, 0), unit(count, 16, 1)
    positives = [[row] for row in range(count)]
    tracemalloc.start()
    try:
        # Every turn of 1,024 queries costs the same memory: one and a half are enough for the peak.
        ranks = retrieval_ranks(queries[:1500], items, positives=positives[:1500])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        retrieval_ranks(queries[:3000], items, positives=positives[:3000], chunk=3000)
        whole = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ranks) == 1500
    assert peak < 200e6
    assert whole > 230e6  # the control: one turn of 3,000 queries is seen to take its 240 MB
