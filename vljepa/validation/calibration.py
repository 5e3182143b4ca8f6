"""Temperatures of the probabilities that `classify` and `ask` report, and the answer prior, on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import CALIBRATED_AT, AnswerPriorConfig, CalibrationConfig
from vljepa.metrics.classification import (
    LOWEST,
    count_candidates,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_by_count,
    softmax,
    top_k_hits,
)
from vljepa.processing.answers import are_known, log_shares
from vljepa.processing.class_names import name_rows
from vljepa.validation.encoder import Encoder
from vljepa.validation.naming import NamedScores, fit_evidence, fit_open_set, named_images
from vljepa.validation.search import fit_search
from vljepa.validation.tasks import Metrics, RetrievalTask, Task, VqaTask

SIZES = (2, 5, 20, 100, 500)
"""How many candidates an image or a question chooses among: its own, and others of the source as far as there are."""
STEEPEST = 0.1
"""Largest exponent: for 1,000 candidates a temperature of 0.7 to 1.5 times that for 20."""
ROWS = 1000
"""Rows of a source that are drawn for each size."""

WEIGHTS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24)
"""Weights of the answer prior that are tried, in units of cosine."""

Kind = Literal["ask", "classify"]
Scored = tuple[NDArray[np.float32], NDArray[np.int64]]


NEVER_WRONG = 1.1 * LOWEST
"""Below this the fit is at its bound, which it reaches when every answer is right: the current temperature is kept."""


def calibrate(
    tasks: Sequence[Task], *, encoder: Encoder, current: CalibrationConfig, answers: Mapping[str, int] | None = None
) -> tuple[CalibrationConfig, Metrics]:
    """Fit the softmax temperatures of `ask` on question sources, with the answer prior, and those of `classify`.

    `classify` also gets the weight of its classifier's evidence and what tells none of the labels from one of them,
    where a source has enough images with names.

    They are fitted over several numbers of candidates: one that fits 20 is far from right for 1,000. The sources of a
    kind are pooled. A kind without a source keeps its current temperature, and
    so does one of which nothing is wrong.

    Args:
        tasks: Validation sources; `classify` is fitted on those of retrieval.
        encoder: Reads their images and texts.
        current: What is kept where there is nothing to fit on.
        answers: Rows per answer of the training questions.

    Returns:
        The calibration, and per kind the temperature, its exponent and, for each number of candidates, the expected
        calibration error before and after, measured on the very data of the fit (a few numbers are fitted to hundreds
        of rows); with an answer prior also its weight, and the accuracy of each question source with it.
    """
    encoder.model.eval()
    questions: list[tuple[VqaTask, Scored]] = []
    images: list[Scored] = []
    naming: list[NamedScores] = []
    for task in tasks:
        predictions_ND, classes_NK = encoder.seen(task.pairs())
        if isinstance(task, VqaTask):
            questions.append((task, (task.scores(predictions_ND, encoder.texts(task.texts())), task.labels_N)))
        elif isinstance(task, RetrievalTask) and len(task.texts()) > 1:
            prompts = encoder.model.config.prompts  # `classify` puts its labels into templates
            texts_MD = name_rows(task.texts(), prompts=prompts, embed=encoder.texts)
            images += _against_others(task, predictions_ND, texts_MD)
            named = named_images(task)
            if named is not None:
                naming.append(
                    NamedScores(task, named, encoder=encoder, predictions_ND=predictions_ND, classes_NK=classes_NK)
                )
    changes: dict[str, Any] = {}
    metrics: Metrics = {}
    asked = [scored for _, scored in questions]
    if questions:
        prior, added = fit_answer_prior([task for task, _ in questions], asked, answers=answers or {})
        changes["answers"] = prior
        if prior is not None:
            metrics["calibration/answer_prior/weight"] = prior.weight
            asked = [
                (scores_NC + prior_NC, labels_N) for (scores_NC, labels_N), prior_NC in zip(asked, added, strict=True)
            ]
            for (task, _), (scores_NC, labels_N) in zip(questions, asked, strict=True):
                metrics[f"{task.name}/accuracy_with_prior"] = float(top_k_hits(scores_NC, labels_N).mean())
    fitted: list[tuple[Kind, list[Scored]]] = [("ask", [part for one in asked for part in fewer(*one)]),
                                               ("classify", images)]  # fmt: skip
    for kind, parts in fitted:
        if parts:
            widest = max(int(count_candidates(scores_NC).max()) for scores_NC, _ in parts)
            temperature, exponent = fit_temperature_by_count(
                parts, at=CALIBRATED_AT, steepest=STEEPEST if widest >= CALIBRATED_AT else 0.0
            )
            if temperature >= NEVER_WRONG:  # else these few say nothing of how sure to be
                changes |= {kind: temperature, f"{kind}_exponent": exponent}
            metrics |= _errors(kind, parts, before=current, after=current.model_copy(update=changes))
    if naming:
        changes["evidence"], found = fit_evidence(naming, current.model_copy(update=changes))
        changes["open_set"], areas = fit_open_set(naming, evidence=changes["evidence"])
        search, hits = fit_search(naming)
        changes["search"] = search or current.search
        metrics |= found | areas | hits
    return current.model_copy(update=changes), metrics


def fit_answer_prior(
    tasks: Sequence[VqaTask], scored: Sequence[Scored], *, answers: Mapping[str, int]
) -> tuple[AnswerPriorConfig | None, list[NDArray[np.float32]]]:
    """The weight of the answers' frequencies with the highest likelihood of the right answers, at its own temperature.

    Only weights are considered with which no fewer answers are right than without.

    Args:
        tasks: Question sources.
        scored: Their cosines and labels.
        answers: Rows per training answer, in normal form.

    Returns:
        None where no weight is better than 0; and what it adds to the scores of each source.
    """
    shares = [task.each_candidate(lambda texts: _shares(answers, texts)) for task in tasks]
    labels_N = np.concatenate([labels for _, labels in scored])

    def quality(weight: float) -> tuple[float, float]:
        """Accuracy and mean log-likelihood."""
        parts = [
            (scores + np.float32(weight) * share, labels)
            for (scores, labels), share in zip(scored, shares, strict=True)
        ]
        scores_NC, _ = _pool(parts)
        probabilities_NC = softmax(scores_NC, temperature=fit_temperature(scores_NC, labels_N))
        right_N = probabilities_NC[np.arange(len(labels_N)), labels_N]
        likelihood_N = np.log(np.maximum(right_N, 1e-300))
        # Rounded: frequencies that are all alike change the last digits alone, and the first of equals is 0.
        return float(top_k_hits(scores_NC, labels_N).mean()), round(float(likelihood_N.mean()), 4)

    if not any(share.any() for share in shares):
        return None, []
    tried = {weight: quality(weight) for weight in WEIGHTS}
    weight = max((one for one in WEIGHTS if tried[one][0] >= tried[0.0][0]), key=lambda one: tried[one][1])
    if weight == 0:
        return None, []
    return AnswerPriorConfig(counts=dict(answers), weight=weight), [np.float32(weight) * share for share in shares]


def _shares(answers: Mapping[str, int], texts: Sequence[str]) -> NDArray[np.float32]:
    """Logarithms of shares where all candidates are training answers, as `ask` applies them; else zeros."""
    return log_shares(answers, texts) if are_known(answers, texts) else np.zeros(len(texts), dtype=np.float32)


def _errors(kind: Kind, parts: Sequence[Scored], **configs: CalibrationConfig) -> Metrics:
    """The fitted numbers, and the expected calibration errors of each size, before and after."""
    metrics: Metrics = {
        f"calibration/{kind}/temperature": getattr(configs["after"], kind),
        f"calibration/{kind}/exponent": getattr(configs["after"], f"{kind}_exponent"),
    }
    for size in SIZES:
        alike = [part for part in parts if int(count_candidates(part[0]).max()) == size]
        if not alike:
            continue
        scores_NC, labels_N = _pool(alike)
        for when, config in configs.items():
            probabilities_NC = softmax(scores_NC, temperature=config.temperature(kind, candidates=size))
            error = expected_calibration_error(probabilities_NC, labels_N)
            metrics[f"calibration/{kind}/{size}_candidates/ece_{when}"] = error
    return metrics


def fewer(scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> list[Scored]:
    """Questions as they are, and with the right candidate (column 0) among fewer others, drawn with a fixed seed.

    Of each of `SIZES` those questions are taken that have more candidates. Where none has 20, sizes say more of the
    kinds of questions than of what a larger choice would do, and nothing is drawn.
    """
    random = np.random.default_rng(0)
    parts: list[Scored] = [(scores_NC, labels_N)]
    counts_N = count_candidates(scores_NC)
    if counts_N.max() < CALIBRATED_AT:
        return parts
    for size in SIZES:
        rows = random.permutation(np.flatnonzero(counts_N > size))[:ROWS]
        if len(rows) == 0:
            continue
        drawn_NC = np.empty((len(rows), size), dtype=np.float32)
        for place, row in enumerate(rows):
            wrong = np.delete(np.arange(counts_N[row]), labels_N[row])
            drawn_NC[place] = scores_NC[row, [labels_N[row], *random.permutation(wrong)[: size - 1]]]
        parts.append((drawn_NC, np.zeros(len(rows), dtype=np.int64)))
    return parts


def _against_others(
    task: RetrievalTask, predictions_ND: NDArray[np.float32], texts_MD: NDArray[np.float32]
) -> list[Scored]:
    """Each image's first text (column 0) against as many others that are not right for it, for each of `SIZES`.

    All are drawn with a fixed seed; the last size is that of all texts where there are fewer than in `SIZES`.
    """
    random = np.random.default_rng(0)
    most = len(texts_MD) - max(len(right) for right in task.texts_of_item) + 1
    parts = []
    for size in sorted({min(size, most) for size in SIZES} - {1}):
        rows = random.permutation(len(predictions_ND))[:ROWS]
        scores_NC = np.empty((len(rows), size), dtype=np.float32)
        for place, number in enumerate(rows):
            right = task.texts_of_item[number]
            wrong = np.setdiff1d(np.arange(len(texts_MD)), right)
            chosen = np.concatenate([right[:1], random.permutation(wrong)[: size - 1]]).astype(np.int64)
            scores_NC[place] = texts_MD[chosen] @ predictions_ND[number]
        parts.append((scores_NC, np.zeros(len(rows), dtype=np.int64)))
    return parts


def _pool(parts: Sequence[Scored]) -> Scored:
    width = max(scores_NC.shape[1] for scores_NC, _ in parts)
    padded = [
        np.pad(scores_NC, ((0, 0), (0, width - scores_NC.shape[1])), constant_values=-np.inf) for scores_NC, _ in parts
    ]
    return np.concatenate(padded), np.concatenate([labels_N for _, labels_N in parts])
