"""Closed questions: the nearest candidate answers; scored as the dataset's own script does.

Shapes: N questions, D width of the shared space, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import FileEmbedder, Rows, readable
from eval.core.provenance import text_digest
from eval.core.result import Context, Result
from eval.core.statistics import by_item, calibrated, interval, resample
from eval.tasks.questions_files import READERS, Question
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.metrics import count_of, exact_match, pope, vqa_v2_score, yes_or_no
from vljepa.metrics.retrieval import TIE
from vljepa.processing.answers import prior_scores

PRINTED = 200
Chosen = list[str | None]
"""The answer of each question; None where two candidates are equally near, which is wrong whatever the right one is."""


def measure(context: Context, *, format: str, scoring: str, **columns: Any) -> Result:
    """Answer every question with the nearest of its candidates, and score.

    Args:
        context: The files and the model.
        format: Of the files: a key of `eval.tasks.questions_files.READERS`.
        scoring: `exact`, `vqa_v2`, `tally`, `pope` or `popev2`.
        columns: Arguments of the reader.
    """
    found, embedder = context.found, context.embedder
    questions = READERS[format](found, **columns)
    if not questions:
        raise found.wrong(next(iter(found.files)), "it has no questions")
    files = FileEmbedder(embedder)
    rows_ND = files.ask([(one.image, one.query) for one in questions])
    kept_N = readable(rows_ND)
    asked = [one for one, there in zip(questions, kept_N, strict=True) if there]
    chosen, sure = answer(asked, rows_ND[kept_N], embedder)
    metrics = SCORINGS[scoring](asked, chosen)
    if scoring == "exact" and sure is not None:
        metrics["all"]["calibration_error"] = sure
    return Result(
        metrics=metrics,
        chance={
            kind: {"accuracy": float(np.mean([1 / len(asked[n].candidates) for n in places]))}
            for kind, places in _kinds(asked).items()
        },
        rows=len(questions),
        pool=[{"questions": len(asked), "images": len({one.image for one in asked})}],
        ties=sum(one is None for one in chosen),
        candidates=printed(asked),
        prompt="the question, as it is",
        skipped=files.report(),
        examined=[Record(one.image, one.answers, query=one.query) for one in questions],
    )


def answer(questions: Sequence[Question], rows_ND: Rows, embedder: Embedder) -> tuple[Chosen, float | None]:
    """The nearest candidate of each question, and the calibration error against the first right answer.

    With long lists of candidates there is none: N x C scores would not fit.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, one in enumerate(questions):
        groups.setdefault(one.candidates, []).append(place)
    texts = list(dict.fromkeys(text for subset in groups for text in subset))
    row_of = dict(zip(texts, embedder.texts(texts), strict=True))
    chosen: Chosen = [None] * len(questions)
    width = max(len(subset) for subset in groups)
    scores_NC = np.full((len(questions), width), -np.inf, dtype=np.float32) if width <= PRINTED else None
    for candidates, places in groups.items():
        texts_CD = np.stack([row_of[text] for text in candidates])
        prior_C = prior_scores(embedder.model.config.calibration.answers, candidates)
        for start in range(0, len(places), 1024):
            subset = places[start : start + 1024]
            block = rows_ND[subset] @ texts_CD.T + prior_C
            if scores_NC is not None:
                scores_NC[subset, : len(candidates)] = block
            for place, scores in zip(subset, block, strict=True):
                best = int(scores.argmax())
                alone = np.sum(scores >= scores[best] - TIE) == 1
                chosen[place] = candidates[best] if alone else None
    return chosen, None if scores_NC is None else _calibration(questions, scores_NC, embedder)


def _calibration(questions: Sequence[Question], scores_NC: Rows, embedder: Embedder) -> float | None:
    labels = [next((c for c, text in enumerate(one.candidates) if exact_match(text, one.answers)), -1)
              for one in questions]  # fmt: skip
    known = [place for place, label in enumerate(labels) if label >= 0]
    calibration = embedder.model.config.calibration
    temperatures_N = [calibration.temperature("ask", candidates=len(questions[n].candidates)) for n in known]
    labels_N = np.array(labels)[known]
    return calibrated(scores_NC[known], labels_N, temperature=np.array(temperatures_N))["ece"] if known else None


def printed(questions: Sequence[Question]) -> dict[str, Any]:
    """The candidate lists: a shared one as of `listed`, else the sizes of the questions' own."""
    different = {one.candidates for one in questions}
    sizes = sorted({len(subset) for subset in different})
    return listed(different.pop()) if len(different) == 1 else {"own_list_per_row_of": sizes}


def listed(candidates: Sequence[str]) -> dict[str, Any]:
    """Candidates in full where they are few, else their number, their hash and the first of them."""
    if len(candidates) <= PRINTED:
        return {"count": len(candidates), "list": list(candidates)}
    return {"count": len(candidates), "sha256": text_digest("\n".join(candidates)), "first": list(candidates[:20])}


def _scored(score: Callable[[str, Sequence[str]], float]) -> Callable[[Sequence[Question], Chosen], dict[str, Any]]:
    """Mean score of an answer against the right ones; a tie scores nothing."""

    def figures(questions: Sequence[Question], chosen: Chosen) -> dict[str, Any]:
        scores = [
            0.0 if text is None else float(score(text, one.answers))
            for one, text in zip(questions, chosen, strict=True)
        ]
        return _by_type(questions, scores)

    return figures


def _by_type(questions: Sequence[Question], scores: Sequence[float]) -> dict[str, Any]:
    """Mean over all and over each type; of one image, the questions are drawn together."""
    return {
        kind: {"accuracy": interval([scores[n] for n in subset], [str(questions[n].image) for n in subset]),
               "questions": len(subset)}
        for kind, subset in _kinds(questions).items()
    }  # fmt: skip


def _kinds(questions: Sequence[Question]) -> dict[str, list[int]]:
    """Places of all questions, and of those of each type."""
    kinds = {"all": list(range(len(questions)))}
    for place, one in enumerate(questions):
        if one.type:
            kinds.setdefault(one.type, []).append(place)
    return kinds


def _pope(questions: Sequence[Question], chosen: Chosen) -> dict[str, Any]:
    """The five figures of each file, and the mean of each figure over the files."""
    metrics: dict[str, Any] = {}
    for kind in dict.fromkeys(one.type for one in questions):
        subset = [(one, _strictly(one, text)) for one, text in zip(questions, chosen, strict=True) if one.type == kind]
        labels = [one.answers[0] for one, _ in subset]
        words = [text for _, text in subset]
        metrics[kind] = pope(words, labels) | {"questions": len(subset)}
        # both yes, said yes, labelled yes, right, all
        counts = [(a == b == "yes", a == "yes", b == "yes", a == b, True) for a, b in zip(words, labels, strict=True)]
        counts_NK = by_item(np.array(counts, dtype=np.float64), [str(one.image) for one, _ in subset])
        for name, statistic in POPE_STATISTICS.items():
            low, high = resample(counts_NK, statistic)
            metrics[kind][name] = {"mean": metrics[kind][name], "low": low, "high": high, "items": len(counts_NK)}
    figures = ("accuracy", "precision", "recall", "f1", "yes_rate")
    means = {kind: {name: one["mean"] if isinstance(one, dict) else one for name, one in row.items()} for kind, row in
             metrics.items()}  # fmt: skip
    return metrics | {"mean": {name: float(np.mean([one[name] for one in means.values()])) for name in figures}}


def _popev2(questions: Sequence[Question], chosen: Chosen) -> dict[str, Any]:
    words = [_strictly(one, text) for one, text in zip(questions, chosen, strict=True)]
    right = [text == one.answers[0] for one, text in zip(questions, words, strict=True)]
    pairs = [one.pair for one in questions]
    whole: dict[str, bool] = {}
    for pair, hit in zip(pairs, right, strict=True):
        whole[pair] = whole.get(pair, True) and hit
    return {
        "all": {
            "accuracy": interval(right, pairs),
            "pair_accuracy": interval(list(whole.values()), list(whole)),
            "pairs": len(whole),
        },
        "answers": pope(words, [one.answers[0] for one in questions]),
    }


def _strictly(question: Question, text: str | None) -> str:
    """Yes or no, as the official script reads an answer; a tie is the wrong one."""
    if text is not None:
        return yes_or_no(text)
    return "no" if question.answers[0] == "yes" else "yes"


POPE_STATISTICS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "accuracy": lambda sums_RK: sums_RK[:, 3] / sums_RK[:, 4],
    "f1": lambda sums_RK: 2 * sums_RK[:, 0] / np.maximum(sums_RK[:, 1] + sums_RK[:, 2], 1),
}
SCORINGS: dict[str, Callable[[Sequence[Question], Chosen], dict[str, Any]]] = {
    "exact": _scored(exact_match),
    "vqa_v2": _scored(vqa_v2_score),
    "tally": _scored(lambda text, answers: count_of(text) == int(answers[0])),
    "pope": _pope,
    "popev2": _popev2,
}
