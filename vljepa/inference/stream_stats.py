"""What `stream` notes on the way, in bounded memory: change over time, where the time went, an image per segment."""

from __future__ import annotations

import io
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from PIL import Image

from vljepa.inference.latency import Latency

Stage = Literal["read", "encode", "predict", "decode"]

_POINTS = 2000
_CANDIDATES = 512
_SIDE = 320
_QUALITY = 78
_EVENTS = 1000


class Peaks:
    """A signal of any length in at most `limit` points: neighbours are merged, the higher one stays.

    Args:
        limit: Most points that are kept; even.
    """

    def __init__(self, limit: int = _POINTS) -> None:
        assert limit % 2 == 0, limit
        self._limit = limit
        self._points: list[tuple[float, float]] = []
        self._span = 1  # values that one point stands for
        self._waiting: list[tuple[float, float]] = []  # the highest of those that do not make a point yet
        self._waiting_count = 0

    def add(self, when: float, value: float) -> None:
        """Add the signal's value at a time."""
        self._waiting = [_higher([*self._waiting, (when, value)])]
        self._waiting_count += 1
        if self._waiting_count < self._span:
            return
        self._points += self._waiting
        self._waiting, self._waiting_count = [], 0
        if len(self._points) == self._limit:
            self._points = [_higher(self._points[at : at + 2]) for at in range(0, self._limit, 2)]
            self._span *= 2

    def points(self) -> list[tuple[float, float]]:
        """(time, value) pairs in the order of time."""
        return [*self._points, *self._waiting]


class Thumbnails:
    """Small JPEG images, of which nobody knows yet whether they will be wanted.

    When there are too many, every second one goes and new ones come half as often.

    Args:
        limit: Most images that wait at a time.
    """

    def __init__(self, limit: int = _CANDIDATES) -> None:
        assert limit >= 2, limit
        self._limit = limit
        self._waiting: list[tuple[float, bytes]] = []
        self._spacing = 0.0

    def add(self, when: float, image: bytes) -> None:
        """Keep the image of a moment, unless one has just been kept."""
        if self._waiting and when < self._waiting[-1][0] + self._spacing:
            return
        self._waiting.append((when, image))
        if len(self._waiting) > self._limit:
            self._waiting = self._waiting[::2]
            mean_gap = (self._waiting[-1][0] - self._waiting[0][0]) / (len(self._waiting) - 1)
            self._spacing = 0.99 * mean_gap  # frames do not come like clockwork

    def nearest(self, when: float) -> bytes | None:
        """Image of the nearest moment that is kept."""
        return min(self._waiting, key=lambda kept: abs(kept[0] - when))[1] if self._waiting else None

    def has(self, when: float) -> bool:
        """Whether the image of this very moment is kept."""
        return any(kept == when for kept, _ in self._waiting)

    def forget(self, before: float) -> None:
        """Let go of what lies before a time, and keep a fresh stretch densely."""
        self._waiting = [kept for kept in self._waiting if kept[0] >= before]
        self._spacing = 0.0

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass
class StreamStats:
    """What one run of `stream` did; hand one in and read it whenever you like.

    Args:
        thumbnails: Keep a small JPEG per segment (about 10 kB each; the only thing here that grows with the stream).
        most_images: Keep those of so many newest segments, and nothing grows.

    Attributes:
        frames: Frames that were looked at.
        decodes: Texts that were decoded.
        begin: Time of the first frame, in seconds.
        end: Time at which the last frame's stretch ends.
        threshold: Change above which the meaning has changed, where there is one.
        signal: Change over time, as the segmenter saw it.
        seconds: Work by stage. `read` runs beside the others, so that they add up to more than `wall`.
        wall: Seconds from the first frame asked for to the last segment yielded, pauses of the caller included.
        images: One JPEG, or None, per segment so far, or per newest segment.
        live: The source is of now; what follows is about such sources.
        began: When the first frame was there, in wall-clock time.
        dropped: Frames that should have been looked at, but the model was too slow.
        gaps: Times that the source was away: (start, end) in seconds of the stream, the newest thousand.
        gap_count: How many there were.
        gap_seconds: How long they were together.
        rates: Changes of the rate: (time, frames per second), the newest thousand.
        rate_count: How many there were.
        lag: Seconds from the arrival of the newest frame to its embedding, and by which reading had fallen behind the
            source, where that can be known.
        highest_lag: The most of it.
        latency: How late the captions were.
    """

    thumbnails: bool = False
    most_images: int | None = None
    frames: int = 0
    decodes: int = 0
    begin: float = 0.0
    end: float = 0.0
    threshold: float | None = None
    signal: Peaks = field(default_factory=Peaks)
    seconds: dict[Stage, float] = field(
        default_factory=lambda: {"read": 0.0, "encode": 0.0, "predict": 0.0, "decode": 0.0}
    )
    wall: float = 0.0
    images: deque[bytes | None] = field(init=False)
    live: bool = False
    began: datetime | None = None
    dropped: int = 0
    gaps: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    gap_count: int = 0
    gap_seconds: float = 0.0
    rates: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    rate_count: int = 0
    lag: float = 0.0
    highest_lag: float = 0.0
    latency: Latency = field(default_factory=Latency)
    _started: float = field(default_factory=time.perf_counter, init=False, repr=False)

    def __post_init__(self) -> None:
        self.images = deque(maxlen=self.most_images)

    @property
    def duration(self) -> float:
        """Seconds of the stream that were looked at."""
        return self.end - self.begin

    def uniform_decodes(self, rate: float = 1.0) -> int:
        """Texts that decoding at a fixed rate (per second) would have taken, gaps left out."""
        return math.ceil((self.duration - self.gap_seconds) * rate - 1e-6)

    def start(self) -> None:
        """Start the clock of `wall`."""
        self._started = time.perf_counter()

    def saw(self, when: float, *, lasts: float) -> None:
        """Count a frame at `when` that stands for the next `lasts` seconds."""
        self.begin = when if self.frames == 0 else self.begin
        self.end = when + lasts
        self.frames += 1
        self.tick()

    def was_away(self, start: float, end: float) -> None:
        """Note a gap in the stream."""
        if end > start:
            self.gaps.append((start, end))
            self.gap_count += 1
            self.gap_seconds += end - start

    def lagged(self, seconds: float) -> None:
        """Note how late a frame was looked at."""
        self.lag = seconds
        self.highest_lag = max(self.highest_lag, seconds)

    def paced(self, fps: float) -> None:
        """Note that from now on so many frames per second are looked at."""
        self.rates.append((self.end, fps))
        self.rate_count += 1

    def summary(self) -> dict[str, Any]:
        """The numbers of a live source, for JSON; seconds, and frames per second."""
        return {
            "seconds": round(self.duration, 3),
            "frames": self.frames,
            "dropped": self.dropped,
            "decodes": self.decodes,
            "gaps": self.gap_count,
            "gap_seconds": round(self.gap_seconds, 3),
            "rate_changes": self.rate_count,
            "highest_lag": round(self.highest_lag, 3),
            "latency": self.latency.summary(),
        }

    def tick(self) -> None:
        """Bring `wall` up to date."""
        self.wall = time.perf_counter() - self._started

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Count the seconds of a block under a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.worked(stage, time.perf_counter() - begin)

    def worked(self, stage: Stage, seconds: float) -> None:
        """Count seconds under a stage."""
        self.seconds[stage] += seconds


def thumbnail(image: Image.Image, *, side: int = _SIDE) -> bytes:
    """An RGB image as a small JPEG, at most `side` pixels wide and high."""
    small = image.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _higher(points: list[tuple[float, float]]) -> tuple[float, float]:
    return max(points, key=lambda point: point[1])
