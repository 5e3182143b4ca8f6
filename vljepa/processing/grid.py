"""So many frames per second, at a rate that may change on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from vljepa.processing.shots import TOLERANCE, Shot


class Grid:
    """Takes the first frame of each slot of a grid that begins with the first frame.

    Args:
        fps: Slots per second; may be set anew at any time, by another thread too.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.due = -math.inf
        """When the next slot begins."""

    def takes(self, time: float) -> bool:
        """Whether the frame at a time, in seconds and not before the last one, is the first of its slot."""
        if time < self.due - TOLERANCE:
            return False
        step = 1 / self.fps
        self.due = self.due + step if self.due + step > time else time + step
        return True


def on_screen(shots: Iterable[Shot], grid: Grid) -> Iterator[Shot]:
    """Shots as they come, each once more for every slot of the grid that begins while it is to be seen.

    For what is read once, at a rate that may change; in a file, `video.read_frames` leaps to what is asked for.

    Args:
        shots: In the order of time.
        grid: Whoever takes the shots asks it about each.
    """
    before: Shot | None = None
    for shot in shots:
        if before is not None:
            yield from _again(before, grid, until=shot.time)
        yield shot
        before = shot
    if before is not None:
        yield from _again(before, grid, until=before.time + before.duration)


def _again(shot: Shot, grid: Grid, *, until: float) -> Iterator[Shot]:
    while shot.time < grid.due < until - TOLERANCE:
        shot = replace(shot, time=grid.due)
        yield shot
