"""Choosing among candidates: hits with ties against the model, calibration error, and the softmax temperature.

Shapes: N samples, C candidates. Rows with fewer candidates are padded with -inf, which no real score reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
        k: How many estimates are allowed.

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


def sigmoid(scores: FloatArray) -> NDArray[np.float64]:
    """1 / (1 + exp(-score)), in float64, without overflow."""
    halved: NDArray[np.float64] = np.asarray(scores, dtype=np.float64) / 2
    return np.asarray((1 + np.tanh(halved)) / 2)


def softmax(scores_NC: FloatArray, *, temperature: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each candidate: exp(score / temperature), normalised per row, in float64.

    Args:
        scores_NC: Scores; -inf where a row has no candidate.
        temperature: One, or one per row [N].
    """
    scaled_NC = np.asarray(scores_NC, dtype=np.float64) / np.reshape(temperature, (-1, 1))
    scaled_NC = scaled_NC - scaled_NC.max(axis=1, keepdims=True)
    weights_NC = np.exp(scaled_NC)
    probabilities: NDArray[np.float64] = weights_NC / weights_NC.sum(axis=1, keepdims=True)
    return probabilities


def auroc(scores_N: FloatArray, positive_N: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, a tie counting half; 0.5 is chance.

    Example:
        >>> auroc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
        0.875
    """
    negatives, positives = np.sort(scores_N[~positive_N]), scores_N[positive_N]
    below = np.searchsorted(negatives, positives, side="left") + np.searchsorted(negatives, positives, side="right")
    return float(below.mean() / 2 / len(negatives))


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


LOWEST = 1e-3
"""Bound of a fitted temperature, reached when every answer is right."""


def fit_temperature(
    scores_NC: FloatArray, labels_N: NDArray[np.int64], *, lowest: float = LOWEST, highest: float = 10.0
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
    return math.exp(
        _golden(
            lambda one: _surprise(scores_NC, labels_N, temperature=math.exp(one)),
            low=math.log(lowest),
            high=math.log(highest),
            width=1e-4,
        )
    )


def fit_temperature_by_count(
    parts: Sequence[tuple[FloatArray, NDArray[np.int64]]], *, at: int, steepest: float
) -> tuple[float, float]:
    """A temperature that is a power of the number of candidates, T = temperature * (candidates / at) ** exponent.

    Both numbers are those of the highest likelihood of all rows together; parts of other sizes pin the exponent down.

    Args:
        parts: Scores [N, C], -inf where a row has no candidate, and indices of the right ones [N].
        at: Number of candidates for which the exponent has no effect.
        steepest: The exponent's largest size; 0 for none.

    Returns:
        Temperature and exponent; the exponent is 0 where all rows have equally many candidates.
    """
    counts = [count_candidates(scores_NC) / at for scores_NC, _ in parts]

    def loss(log_temperature: float, exponent: float) -> float:
        return sum(
            len(labels_N) * _surprise(scores_NC, labels_N, temperature=math.exp(log_temperature) * counts_N**exponent)
            for (scores_NC, labels_N), counts_N in zip(parts, counts, strict=True)
        )

    def best_at(exponent: float, *, low: float, high: float) -> float:
        return _golden(lambda one: loss(one, exponent), low=low, high=high, width=1e-4)

    plain = best_at(0.0, low=math.log(LOWEST), high=math.log(10.0))
    if steepest == 0 or len(np.unique(np.concatenate(counts))) == 1:
        return math.exp(plain), 0.0
    near = {"low": plain - 1.0, "high": plain + 1.0}
    exponent = _golden(lambda one: loss(best_at(one, **near), one), low=-steepest, high=steepest, width=0.005)
    return math.exp(best_at(exponent, **near)), exponent


def count_candidates(scores_NC: FloatArray) -> NDArray[np.int64]:
    """How many candidates each row has, [N]."""
    counts_N: NDArray[np.int64] = (scores_NC > -np.inf).sum(axis=1)
    return counts_N


def _surprise(scores_NC: FloatArray, labels_N: NDArray[np.int64], *, temperature: float | NDArray[np.float64]) -> float:
    """Mean negative log-likelihood of the right candidates."""
    right_N = softmax(scores_NC, temperature=temperature)[np.arange(len(labels_N)), labels_N]
    return float(-np.log(np.maximum(right_N, 1e-300)).mean())


def _golden(loss: Callable[[float], float], *, low: float, high: float, width: float) -> float:
    """Where a loss with one minimum has it, to within `width`, by golden section."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > width:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return (low + high) / 2


def fit_logistic(values_NV: FloatArray, right_N: NDArray[np.float64], *, ridge: float = 1e-3) -> list[float]:
    """Weights of the likeliest logistic regression; an intercept is a column of ones.

    Args:
        values_NV: What to predict from.
        right_N: 1 or 0.
        ridge: On all weights; keeps those of constant columns at 0.
    """
    import torch
    import torch.nn.functional as F

    values, right = torch.from_numpy(np.asarray(values_NV, dtype=np.float64)), torch.from_numpy(right_N)
    weights = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(values @ weights, right) + ridge * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return [round(one, 4) for one in weights.detach().tolist()]


def accuracy_interval(hits: int, count: int) -> tuple[float, float]:
    """95% interval of an accuracy (Wilson's score), 0 to 1: it holds near 0 and 1 and for few samples too.

    Example:
        >>> [round(one, 3) for one in accuracy_interval(9, 10)]
        [0.596, 0.982]
    """
    assert 0 <= hits <= count, (hits, count)
    assert count > 0
    z, share = 1.959964, hits / count
    centre, half = share + z**2 / (2 * count), z * ((share * (1 - share) + z**2 / (4 * count)) / count) ** 0.5
    return max(0.0, (centre - half) / (1 + z**2 / count)), min(1.0, (centre + half) / (1 + z**2 / count))
