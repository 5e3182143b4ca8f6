"""Means over training seeds with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np


class Spread(TypedDict):
    """A mean over seeds with its interval, and the values."""

    mean: float
    low: float
    high: float
    values: list[float]


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> Spread:
    """Mean and Student's t interval, n - 1 degrees of freedom.

    The interval is of the mean over training seeds, of which there must be two; the test set is the same for all of
    them, and its own chance is not in it.

    Example:
        >>> spread = over_seeds([1.0, 2.0, 3.0])
        >>> round(spread["low"], 3), round(spread["high"], 3)  # 2 -+ 4.303 / sqrt(3)
        (-0.484, 4.484)
    """
    from scipy.stats import t

    mean, count = float(np.mean(values)), len(values)
    assert count > 1, count
    half = float(t.ppf(0.5 + level / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return Spread(mean=mean, low=mean - half, high=mean + half, values=[float(value) for value in values])
