"""Temperatures of the probabilities that `classify` and `ask` report, and the answer prior, on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import AnswerPriorConfig, CalibrationConfig
from vljepa.metrics.classification import expected_calibration_error, fit_temperature, softmax, top_k_hits
from vljepa.processing.answers import are_known, log_shares
from vljepa.training.encoding import Encoder
from vljepa.training.validation import Metrics, RetrievalTask, Task, VqaTask

LABELS = 20
"""Texts that a picture chooses among when `classify` is calibrated: its own and others of the source."""

WEIGHTS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24)
"""Weights of the answer prior that are tried, in units of cosine."""

Scored = tuple[NDArray[np.float32], NDArray[np.int64]]


def calibrate(
    tasks: Sequence[Task], *, encoder: Encoder, current: CalibrationConfig, answers: Mapping[str, int] | None = None
) -> tuple[CalibrationConfig, Metrics]:
    """Fit the softmax temperature of `ask` on question sources, with the answer prior, and that of `classify`.

    The sources of a kind are pooled. A kind without a source keeps its current temperature.

    Args:
        tasks: Validation sources; `classify` is fitted on those of retrieval.
        encoder: Reads their pictures and texts.
        current: What is kept where there is nothing to fit on.
        answers: Rows per answer of the training questions.

    Returns:
        The calibration, and per kind the temperature and the expected calibration error before and after, measured on
        the very data of the fit (one or two numbers are fitted to hundreds of rows); with an answer prior also its
        weight, and the accuracy of each question source with it.
    """
    encoder.model.eval()
    template = encoder.model.config.prompts.classification  # `classify` puts its labels into it
    questions: list[tuple[VqaTask, Scored]] = []
    pictures: list[Scored] = []
    for task in tasks:
        predictions_ND = encoder.predictions(task.pairs())
        if isinstance(task, VqaTask):
            questions.append((task, (task.scores(predictions_ND, encoder.texts(task.texts())), task.labels_N)))
        elif isinstance(task, RetrievalTask) and len(task.texts()) > 1:
            texts_MD = encoder.texts([template.replace("{}", text) for text in task.texts()])
            pictures.append(_against_others(task, predictions_ND, texts_MD))
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
    for kind, parts in (("ask", asked), ("classify", pictures)):
        if parts:
            scores_NC, labels_N = _pool(parts)
            changes[kind] = fit_temperature(scores_NC, labels_N)
            metrics |= _errors(kind, scores_NC, labels_N, before=getattr(current, kind), after=changes[kind])
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


def _errors(kind: str, scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], **temperatures: float) -> Metrics:
    metrics: Metrics = {f"calibration/{kind}/temperature": temperatures["after"]}
    for when, value in temperatures.items():
        error = expected_calibration_error(softmax(scores_NC, temperature=value), labels_N)
        metrics[f"calibration/{kind}/ece_{when}"] = error
    return metrics


def _against_others(task: RetrievalTask, predictions_ND: NDArray[np.float32], texts_MD: NDArray[np.float32]) -> Scored:
    """Each picture's first text (column 0) against other texts that are not right for it, drawn with a fixed seed."""
    random = np.random.default_rng(0)
    scores_NC = np.full((len(predictions_ND), LABELS), -np.inf, dtype=np.float32)
    for number, right in enumerate(task.texts_of_item):
        wrong = np.setdiff1d(np.arange(len(texts_MD)), right)
        drawn = random.permutation(wrong)[: LABELS - 1]
        chosen = np.concatenate([right[:1], drawn]).astype(np.int64)
        scores_NC[number, : len(chosen)] = texts_MD[chosen] @ predictions_ND[number]
    return scores_NC, np.zeros(len(predictions_ND), dtype=np.int64)


def _pool(parts: Sequence[Scored]) -> Scored:
    width = max(scores_NC.shape[1] for scores_NC, _ in parts)
    padded = [
        np.pad(scores_NC, ((0, 0), (0, width - scores_NC.shape[1])), constant_values=-np.inf) for scores_NC, _ in parts
    ]
    return np.concatenate(padded), np.concatenate([labels_N for _, labels_N in parts])
