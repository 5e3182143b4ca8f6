"""How sure is a number: bootstrap over items, intervals and spreads over training seeds, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from vljepa.metrics import expected_calibration_error, softmax

RESAMPLES = 10_000
FEWER, MANY = 2_000, 5_000
CHUNK, CELLS = 1000, 10_000_000


class Interval(TypedDict):
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    items: int


def paired_bootstrap(
    differences: Sequence[Mapping[str, float]], *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile interval of a mean difference, resampling items with replacement.

    An item that occurs in several runs (a concept that two splits test, a photo that all seeds test) is drawn as one:
    its runs are not independent. The spread over training seeds is therefore not in the interval, but beside it.

    Args:
        differences: Per run, item -> (hit of one row) - (hit of the other).
        resamples: Draws.
        seed: Of the draws.
        level: Share of the draws inside the interval.

    Returns:
        The mean over all (run, item) values, its interval, and the number of different items.
    """
    pairs = sorted(((key, value) for run in differences for key, value in run.items()), key=itemgetter(0))
    assert pairs, "nothing to resample"
    items, values = zip(*pairs, strict=True)
    return interval(values, items, resamples=resamples, seed=seed, level=level)


def interval(
    values: Sequence[float] | np.ndarray,
    items: Sequence[str],
    *,
    resamples: int | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of values with its interval, resampling what they are about.

    Args:
        values: A hit or a score each.
        items: What each is about, such as its image: values of one item are drawn together.
        resamples: As for `resample`.
        seed: Likewise.
        level: Likewise.
    """
    columns_NK = by_item(np.asarray(values, dtype=np.float64)[:, None], items)
    low, high = resample(columns_NK, _ratio, resamples=resamples, seed=seed, level=level)
    return Interval(mean=float(np.mean(values)), low=low, high=high, items=len(columns_NK))


def by_item(values_MK: np.ndarray, items: Sequence[str]) -> np.ndarray:
    """Sums of values over each item, and in the last column how many there were, [N, K + 1]."""
    assert len(values_MK) == len(items) > 0, (len(values_MK), len(items))
    places = {item: place for place, item in enumerate(dict.fromkeys(items))}
    sums_NK = np.zeros((len(places), values_MK.shape[1] + 1))
    np.add.at(sums_NK, [places[item] for item in items], np.column_stack([values_MK, np.ones(len(items))]))
    return sums_NK


def resample(
    columns_NK: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic of sums over items.

    Args:
        columns_NK: What each item adds to each sum.
        statistic: From the sums of some draws, [R, K], to a value for each, [R].
        resamples: Draws; 10,000 for up to 5,000 items and 2,000 for more when absent.
        seed: Of the draws.
        level: Share of the draws inside the interval.
    """
    count = len(columns_NK)
    draws = resamples if resamples is not None else RESAMPLES if count <= MANY else FEWER
    chunk = max(1, min(CHUNK, CELLS // count))
    random = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        times_RN = random.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        found.append(statistic(times_RN @ columns_NK))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> dict[str, Any]:
    """Mean over training seeds, of which there must be two, with Student's t interval and the values.

    The test set is the same for all seeds, and its own chance is not in the interval.

    Example:
        >>> spread = over_seeds([1.0, 2.0, 3.0])
        >>> round(spread["low"], 3), round(spread["high"], 3)  # 2 -+ 4.303 / sqrt(3)
        (-0.484, 4.484)
    """
    from scipy.stats import t

    mean, count = float(np.mean(values)), len(values)
    assert count > 1, count
    half = float(t.ppf(0.5 + level / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return {"mean": mean, "low": mean - half, "high": mean + half, "values": [float(value) for value in values]}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds (0 for one seed), with the values."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "values": [float(value) for value in values]}


def pooled(trees: Sequence[Any]) -> Any:
    """`spread` of every number of equally built dictionaries, one per seed; a key that one lacks is pooled without."""
    first = trees[0]
    if not isinstance(first, Mapping):
        return spread(trees)
    return {key: pooled([tree[key] for tree in trees if key in tree]) for key in first}


def _ratio(sums_RK: np.ndarray) -> np.ndarray:
    shares: np.ndarray = sums_RK[:, 0] / sums_RK[:, 1]
    return shares


def calibrated(scores_NC: NDArray[np.float32], labels_N: NDArray[Any], *, temperature: Any) -> dict[str, float]:
    """How sure the softmax of scores is of its best candidate, and its expected calibration error.

    Args:
        scores_NC: -inf where there is no candidate.
        labels_N: The right one of each row.
        temperature: Of all rows, or one each.
    """
    probabilities_NC = softmax(scores_NC, temperature=temperature)
    return {
        "temperature": float(np.mean(temperature)),
        "ece": expected_calibration_error(probabilities_NC, labels_N),
        "mean_confidence": float(probabilities_NC.max(axis=1).mean()),
    }
