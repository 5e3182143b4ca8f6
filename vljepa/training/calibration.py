"""Temperatures of the probabilities that `classify` and `ask` report, fitted on validation data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import CalibrationConfig
from vljepa.metrics.classification import expected_calibration_error, fit_temperature, softmax
from vljepa.training.encoding import Encoder
from vljepa.training.validation import Metrics, RetrievalTask, Task, VqaTask

LABELS = 20
"""Texts that a picture chooses among when `classify` is calibrated: its own and others of the source."""

Scored = tuple[NDArray[np.float32], NDArray[np.int64]]


def calibrate(
    tasks: Sequence[Task], *, encoder: Encoder, current: CalibrationConfig
) -> tuple[CalibrationConfig, Metrics]:
    """Fit the softmax temperature of `ask` on question sources and that of `classify` on retrieval sources.

    The sources of a kind are pooled. A kind without a source keeps its current temperature.

    Returns:
        The calibration, and per kind the temperature and the expected calibration error before and after, measured on
        the very data of the fit (one number is fitted to hundreds of rows).
    """
    encoder.model.eval()
    template = encoder.model.config.prompts.classification  # `classify` puts its labels into it
    scored: dict[str, list[Scored]] = {"ask": [], "classify": []}
    for task in tasks:
        predictions_ND = encoder.predictions(task.pairs())
        if isinstance(task, VqaTask):
            scored["ask"].append((task.scores(predictions_ND, encoder.texts(task.texts())), task.labels_N))
        elif isinstance(task, RetrievalTask) and len(task.texts()) > 1:
            texts_MD = encoder.texts([template.replace("{}", text) for text in task.texts()])
            scored["classify"].append(_against_others(task, predictions_ND, texts_MD))
    changes: dict[str, float] = {}
    metrics: Metrics = {}
    for kind, parts in scored.items():
        if not parts:
            continue
        scores_NC, labels_N = _pool(parts)
        before, temperature = getattr(current, kind), fit_temperature(scores_NC, labels_N)
        changes[kind] = temperature
        metrics[f"calibration/{kind}/temperature"] = temperature
        for when, value in (("before", before), ("after", temperature)):
            error = expected_calibration_error(softmax(scores_NC, temperature=value), labels_N)
            metrics[f"calibration/{kind}/ece_{when}"] = error
    return current.model_copy(update=changes), metrics


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
