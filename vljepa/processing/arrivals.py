"""When the frames of a connection came: which of the first ones are of now, and how far it falls behind later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from vljepa.processing.shots import Shot

_AT_PACE = 0.5
"""Share of the time between two frames after which the second one is no part of a burst."""
_LONGEST_HOLD = 1.0
"""Seconds after which frames are taken as they come, whatever their pace."""
_FORGETTING = 0.01
"""Share of the time by which the best delay grows: clocks of cameras drift, and pauses are not made up for."""


def arrivals(shots: Iterable[Shot]) -> Iterator[tuple[float, Shot]]:
    """Frames with the time of their arrival by `time.monotonic`."""
    for shot in shots:
        yield time.monotonic(), shot


def of_now(shots: Iterable[Shot]) -> Iterator[tuple[float, Shot]]:
    """`arrivals` without the old frames that a server, or the search for a codec, has kept and gives at once.

    The newest frame is held until the next one comes at its own pace: then it was the last of them. Nothing is held for
    longer than a second of frames; where the frames end before, the held one is given.
    """
    coming = arrivals(shots)
    begin: float | None = None
    held: tuple[float, Shot] | None = None
    try:
        for now, shot in coming:
            begin = now if begin is None else begin
            if held is not None:
                at_pace = now - held[0] > _AT_PACE * (shot.time - held[1].time)
                if at_pace or now - begin > _LONGEST_HOLD:
                    break
            held = now, shot
        else:
            if held is not None:
                yield held
            return
    except Exception:
        if held is not None:
            yield held
        raise
    yield held
    yield now, shot
    yield from coming


class Lag:
    """How far frames fall behind: how much longer they are under way, by their own times, than the quickest one was.

    The quickest is forgotten slowly, so that what stays late for minutes counts less and less.
    """

    def __init__(self) -> None:
        self._best = float("inf")
        self._then = 0.0

    def add(self, now: float, when: float) -> float:
        """Seconds behind.

        Args:
            now: When the frame was there, by any clock that goes forward.
            when: Its own time.
        """
        late = now - when
        self._best = min(late, self._best + _FORGETTING * (now - self._then))
        self._then = now
        return late - self._best
