"""Paired bootstrap over items: is one row better than another on the very same pictures?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

RESAMPLES = 10_000
CHUNK = 1000


class Interval(TypedDict):
    """A mean difference (of shares, 0 to 1) with its interval."""

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
    keys = sorted({key for run in differences for key in run})
    assert keys, "nothing to resample"
    sums_N = np.array([sum(run[key] for run in differences if key in run) for key in keys], dtype=np.float64)
    counts_N = np.array([sum(key in run for run in differences) for key in keys], dtype=np.float64)
    random = np.random.default_rng(seed)
    draws: list[np.ndarray] = []
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        times_RN = random.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=size).astype(np.float64)
        draws.append((times_RN @ sums_N) / (times_RN @ counts_N))
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    mean = float(sums_N.sum() / counts_N.sum())
    return Interval(mean=mean, low=float(low), high=float(high), items=len(keys))
