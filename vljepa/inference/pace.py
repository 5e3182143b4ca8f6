"""A rate that keeps up: fewer frames per second are looked at while the model is slower than its live sources."""

from __future__ import annotations

import math

_WINDOW = 5.0
"""Seconds between two decisions."""
_LAGGING = 0.1
"""Share of dropped frames from which on the rate is too high."""
_LATE = 1.0
"""Seconds that frames may be looked at late; where it is more, and grows, the rate is too high."""
_GROWS = 0.01
"""Share of the time by which it grows."""
_IDLE = 0.4
"""Share of the time that the model may be busy for the rate to be doubled: then it is at most twice that."""
_PATIENCE = 3
"""Good windows in a row before the rate is raised; twice as many after each raise that was too much."""
_MOST_PATIENCE = 96


class Pace:
    """Halves the rate while frames are dropped or come ever later, and doubles it again when there is time for it.

    Args:
        highest: Frames per second to look at when all is well.
        lowest: Frames per second that it never falls below.
        window: Seconds between two decisions.

    Attributes:
        fps: The rate now.
    """

    def __init__(self, *, highest: float, lowest: float, window: float | None = None) -> None:
        self.fps = highest
        self._highest, self._lowest = highest, min(lowest, highest)
        self._window = _WINDOW if window is None else window
        self._patience = _PATIENCE
        self._good = 0
        self._raised = False  # the latest change was a raise, and has not been borne out yet
        self._begin: float | None = None
        self._before = (0.0, 0, 0)  # busy seconds, frames and dropped frames when the window began
        self._lag = math.inf  # least of this window: one frame that was held up says nothing
        self._lag_before = 0.0  # of the window before

    def observe(self, now: float, *, busy: float, frames: int, dropped: int, lag: float) -> bool:
        """Take the state of things, as often as you like; whether the rate has changed.

        Args:
            now: Seconds, by any clock that goes forward.
            busy: Seconds that the model has worked so far.
            frames: Frames that it has looked at so far.
            dropped: Frames that were dropped so far.
            lag: Seconds that the newest frame was looked at late.
        """
        if self._begin is None:
            self._begin, self._before = now, (busy, frames, dropped)
        self._lag = min(self._lag, lag)
        if now - self._begin < self._window:
            return False
        late = self._lag > _LATE
        falls_behind = late and self._lag - self._lag_before > _GROWS * (now - self._begin)
        self._lag, self._lag_before = math.inf, self._lag
        share_busy = (busy - self._before[0]) / (now - self._begin)
        looked, lost = frames - self._before[1], dropped - self._before[2]
        self._begin, self._before = now, (busy, frames, dropped)
        before = self.fps
        if falls_behind or lost > _LAGGING * (looked + lost):
            self._lower()
        elif lost == 0 and not late and share_busy < _IDLE:
            self._better()
        else:
            self._good = 0
        return self.fps != before

    def _lower(self) -> None:
        if self._raised:
            self._patience = min(_MOST_PATIENCE, 2 * self._patience)
        self._good, self._raised = 0, False
        self._lag_before = math.inf  # a window to see what it does
        self.fps = max(self._lowest, self.fps / 2)

    def _better(self) -> None:
        self._good += 1
        if self._good < self._patience:
            return
        self._good = 0
        self._raised = self.fps < self._highest
        if not self._raised:
            self._patience = _PATIENCE  # the full rate has been borne out
        self.fps = min(self._highest, 2 * self.fps)
