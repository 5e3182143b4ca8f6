"""Choosing among candidates: hits with ties against the model, calibration error, and the softmax temperature.

Shapes: N samples, C candidates. Rows with fewer candidates are padded with -inf, which no real score reaches.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa.metrics.retrieval import TIE

_SAME = 1e-5  # equal scores differ in their last bits, and probabilities by that over the temperature

FloatArray = NDArray[np.float32] | NDArray[np.float64]


def top_k_hits(scores_NC: FloatArray, labels_N: NDArray[np.int64], *, k: int = 1) -> NDArray[np.bool_]:
    """Whether the right candidate is among the best k; a tie with a wrong one counts against the model.

    Args:
        scores_NC: Scores, larger is better; -inf where a row has no candidate.
        labels_N: Index of the right candidate of each row.
        k: How many guesses are allowed.

    Returns:
        Boolean per row; its mean is the accuracy.

    Example:
        >>> top_k_hits(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 0])).tolist()
        [True, False]
    """
    rows_N = np.arange(len(labels_N))
    right_N = scores_NC[rows_N, labels_N]
    ahead_NC = ~(scores_NC < (right_N - TIE)[:, None])  # also true where a score is NaN
    ahead_NC[rows_N, labels_N] = False
    hits: NDArray[np.bool_] = ahead_NC.sum(axis=1) < k
    return hits


def mean_per_class(hits_N: NDArray[np.bool_], labels_N: NDArray[np.int64]) -> float:
    """Accuracy of each class, averaged over the classes that occur, so that frequent ones do not drown the rest.

    Example:
        >>> mean_per_class(np.array([True, True, True, False]), np.array([0, 0, 0, 1]))
        0.5
    """
    return float(np.mean([hits_N[labels_N == label].mean() for label in np.unique(labels_N)]))


def mean_of_templates(rows_TCD: FloatArray) -> NDArray[np.float32]:
    """One embedding per class out of those of its texts under T templates: their mean, of unit length again.

    Args:
        rows_TCD: Unit-norm embeddings of C classes under T templates ("a photo of a cat", "a drawing of a cat").

    Returns:
        [C, D]; a class whose texts cancel out is zero, and so nearest to nothing.
    """
    mean_CD = np.asarray(rows_TCD, dtype=np.float64).mean(axis=0)
    norm_C1 = np.linalg.norm(mean_CD, axis=1, keepdims=True)
    averaged: NDArray[np.float32] = (mean_CD / np.maximum(norm_C1, 1e-12)).astype(np.float32)
    return averaged


def softmax(scores_NC: FloatArray, *, temperature: float) -> NDArray[np.float64]:
    """Probability of each candidate at a temperature: exp(score / temperature), normalised per row, in float64."""
    scaled_NC = np.asarray(scores_NC, dtype=np.float64) / temperature
    scaled_NC = scaled_NC - scaled_NC.max(axis=1, keepdims=True)
    weights_NC = np.exp(scaled_NC)
    probabilities: NDArray[np.float64] = weights_NC / weights_NC.sum(axis=1, keepdims=True)
    return probabilities


def expected_calibration_error(probabilities_NC: FloatArray, labels_N: NDArray[np.int64], *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (arXiv 1706.04599, eq. 3).

    Two candidates that share the highest probability are a wrong answer, so a collapsed model is not calibrated.

    Returns:
        0 (confidence equals accuracy in every bin) to 1.
    """
    confidence_N = probabilities_NC.max(axis=1)
    first_N = probabilities_NC.argmax(axis=1)
    alone_N = (probabilities_NC >= confidence_N[:, None] * (1 - _SAME)).sum(axis=1) == 1
    hits_N = (first_N == labels_N) & alone_N
    bin_N = np.minimum((confidence_N * bins).astype(np.int64), bins - 1)
    gaps = [
        abs(float(hits_N[bin_N == index].mean()) - float(confidence_N[bin_N == index].mean()))
        * float(np.mean(bin_N == index))
        for index in np.unique(bin_N)
    ]
    return sum(gaps)


def fit_temperature(
    scores_NC: FloatArray, labels_N: NDArray[np.int64], *, lowest: float = 1e-3, highest: float = 10.0
) -> float:
    """Temperature of `softmax` that gives the right candidates the highest likelihood.

    The negative log-likelihood is convex in 1 / temperature, so it has one minimum in log temperature too, and golden
    section finds it.

    Args:
        scores_NC: Cosines; -inf where a row has no candidate.
        labels_N: Index of the right candidate of each row.
        lowest: Lower bound, reached when every answer is right.
        highest: Upper bound, reached when the scores say nothing.
    """
    rows_N = np.arange(len(labels_N))

    def loss(log_temperature: float) -> float:
        probabilities_NC = softmax(scores_NC, temperature=math.exp(log_temperature))
        return float(-np.log(np.maximum(probabilities_NC[rows_N, labels_N], 1e-300)).mean())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(lowest), math.log(highest)
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
