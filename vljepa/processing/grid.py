"""At most so many frames per second, at a rate that may change on the way."""

from __future__ import annotations

import math

from vljepa.processing.shots import TOLERANCE


class Grid:
    """Takes the first frame of each slot of a grid that begins with the first frame.

    Args:
        fps: Slots per second; may be set anew at any time, by another thread too.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._due = -math.inf

    def takes(self, time: float) -> bool:
        """Whether the frame at a time, in seconds and not before the last one, is the first of its slot."""
        if time < self._due - TOLERANCE:
            return False
        step = 1 / self.fps
        self._due = self._due + step if self._due + step > time else time + step
        return True
