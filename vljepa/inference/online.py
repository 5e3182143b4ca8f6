"""Has the meaning changed? Scores of a stream's change, with bounded delay and memory, row by row.

A score belongs to a possible boundary: the point before one row. Per-step cost and memory do not depend on how long
the stream is. D is the width of the shared space, w the window.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError

Row = NDArray[np.floating]


class Change(Protocol):
    """A score of change."""

    delay: int
    """Rows after a boundary that the score of the boundary waits for."""

    def push(self, row_D: Row) -> float:
        """Take the next row; score of the boundary before the row `delay` rows ago, 0 while there is none."""
        ...

    def restart(self, rows: list[Row]) -> None:
        """A boundary was declared; the open segment consists of `rows` now."""
        ...


class RunningWard:
    """Ward distance of the new row and the open segment's running mean, as if they merged next. No delay."""

    delay = 0

    def __init__(self) -> None:
        self._mean: NDArray[np.float64] | None = None
        self._count = 0

    def push(self, row_D: Row) -> float:
        """See `Change`."""
        if self._mean is None:
            self.restart([row_D])
            return 0.0
        difference = row_D - self._mean
        score = float(np.sqrt(2 * self._count / (self._count + 1) * (difference @ difference)))
        self._count += 1
        self._mean = self._mean + difference / self._count
        return score

    def restart(self, rows: list[Row]) -> None:
        """See `Change`."""
        self._mean = np.mean(np.asarray(rows, dtype=np.float64), axis=0)
        self._count = len(rows)


class _Windowed:
    """A score of the newest 2 w rows, for the point in their middle.

    Args:
        width: Rows on each side, w.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.delay = width - 1
        self._rows: deque[Row] = deque(maxlen=2 * width)

    def push(self, row_D: Row) -> float:
        """See `Change`."""
        self._rows.append(row_D)
        return 0.0 if len(self._rows) < 2 * self.width else self._score()

    def restart(self, rows: list[Row]) -> None:
        """See `Change`; the window slides on."""

    def _score(self) -> float:
        raise NotImplementedError


class TwoWindow(_Windowed):
    """Distance of the mean of the w rows before a point and the mean of the w rows after it."""

    def _score(self) -> float:
        rows = np.asarray(self._rows)
        return float(np.linalg.norm(rows[self.width :].mean(0) - rows[: self.width].mean(0)))


class LocalVariance(_Windowed):
    """Root of the variance of the 2 w rows around a point, which the paper suggests to watch."""

    def _score(self) -> float:
        rows = np.asarray(self._rows, dtype=np.float64)
        return float(np.sqrt(((rows - rows.mean(0)) ** 2).sum(1).mean()))


def change_of(config: SelectiveConfig) -> Change:
    """The score that a config names."""
    if config.method == "running_ward":
        return RunningWard()
    return TwoWindow(config.window) if config.method == "two_window" else LocalVariance(config.window)


class PeakPicker:
    """Declares a boundary where the score exceeds the threshold and is the highest within `hold` rows on both sides.

    Of equal scores the first is the peak. Without the look back, the far slope of a slow change would be declared too.

    Args:
        threshold: Scores must be above it.
        hold: Rows to wait for a higher score; 0 declares at once.
    """

    def __init__(self, *, threshold: float, hold: int) -> None:
        self.threshold = threshold
        self.hold = hold
        self._age = -1  # rows since the candidate; -1 while there is none
        self._latest: deque[float] = deque(maxlen=hold)

    def push(self, score: float) -> int | None:
        """Take the next score; how many scores ago the declared peak was, None where none is declared."""
        if self._age >= 0:
            self._age += 1
        if score > self.threshold and all(score > earlier for earlier in self._latest):
            self._age = 0
        self._latest.append(score)
        if self._age >= self.hold:
            age, self._age = self._age, -1
            return age
        return None


class RateControl:
    """Moves a threshold so that boundaries come at a wanted rate on average, as far as there is change.

    Each boundary raises it by a fifth, and the time without one lets it sink again, so that the two balance at `rate`.
    It stays within a factor of 4 of where it began: a still image is not cut up, however long it stays.

    Args:
        rate: Boundaries per second.
        threshold: Where it begins.

    Raises:
        ConfigError: `rate` or `threshold` is not above 0.
    """

    _GAIN = 0.2
    _RANGE = 4.0

    def __init__(self, rate: float, *, threshold: float) -> None:
        if not 0 < rate < np.inf or not threshold > 0:
            raise ConfigError(
                f"a rate of {rate} boundaries per second from a threshold of {threshold} cannot be held.",
                fix="give a rate and a threshold above 0.",
            )
        self.rate = rate
        self.threshold = threshold
        self._lowest, self._highest = threshold / self._RANGE, threshold * self._RANGE

    def push(self, *, seconds: float, boundaries: int) -> float:
        """Take what came in some time of the stream; the threshold from now on."""
        moved = self.threshold * math.exp(self._GAIN * (boundaries - self.rate * seconds))
        self.threshold = min(self._highest, max(self._lowest, moved))
        return self.threshold


class RateBudget:
    """At most `rate` decodes per second on average: a bucket of tokens in stream time.

    Args:
        rate: Tokens per second.
        burst: Largest number of tokens that quiet time saves up. There is one at first, and time counts from when it
            is asked for.

    Raises:
        ConfigError: `rate` or `burst` is not usable.
    """

    def __init__(self, rate: float, *, burst: float = 3.0) -> None:
        if not rate > 0 or not burst >= 1:
            raise ConfigError(
                f"a budget of {rate} decodes per second with bursts of {burst} never decodes.",
                fix="give a rate above 0 and a burst of at least 1.",
            )
        self.rate, self.burst = rate, burst
        self._tokens = 1.0
        self._time: float | None = None

    def spend(self, time: float) -> bool:
        """Take one token at a time of the stream, in seconds; False when there is none."""
        if self._time is not None:
            self._tokens = min(self.burst, self._tokens + self.rate * (time - self._time))
        self._time = time
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def charge(self, time: float) -> None:
        """Take one token whether there is one or not; what is missing is made up for later."""
        if not self.spend(time):
            self._tokens -= 1
