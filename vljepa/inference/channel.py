"""One source between embeddings and segments: its segmenter, its notices, its wall-clock.

Shapes: D width of the shared space.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.frame_sources import FrameSource
from vljepa.inference.latency import Delay
from vljepa.inference.notices import Kind, Notice, Notify
from vljepa.inference.online import change_of
from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.stream_stats import StreamStats, Thumbnails, thumbnail
from vljepa.processing.grid import Grid
from vljepa.processing.live import Gap


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When a frame passed, by `time.monotonic`, and in wall-clock time.

    Args:
        time: Seconds of the stream.
        clock: When it arrived, wall-clock.
        arrived: When it arrived.
        taken: When the model took it.
        encoded: When its batch was through the X-Encoder.
        predicted: When its embedding was there.
    """

    time: float
    clock: datetime
    arrived: float
    taken: float
    encoded: float
    predicted: float


class Channel:
    """From rows to segments, for one source.

    Args:
        name: How the source is called.
        source: Where its frames come from.
        grid: Which of them are looked at, where it is a live source.
        segmenter: Decides where segments end.
        stats: Filled in.
        notify: Told what happens to the source.
        shared: There are other sources, which go on when this one fails.

    Attributes:
        over: Nothing more comes.
        failure: What ended it, where that was an error.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource,
        *,
        grid: Grid,
        segmenter: SelectiveDecoder,
        stats: StreamStats,
        notify: Notify,
        shared: bool,
    ) -> None:
        self.name = name
        self.source = source
        self.grid = grid
        self.segmenter = segmenter
        self.stats = stats
        self.over = False
        self.failure: Exception | None = None
        self._notify = notify
        self._shared = shared
        self._thumbnails = Thumbnails()
        # A score is that of the boundary before a row some rows ago.
        self._scored: deque[float] = deque(maxlen=change_of(segmenter.config).delay + 1)
        # A segment ends before one of the newest rows: the two windows of a score, and as many that it is held.
        self._times: deque[FrameTimes] = deque(maxlen=2 * segmenter.config.window + 2)
        self._began: datetime | None = None  # of the open segment
        self._away = False

    def saw(self, times: FrameTimes, image: bytes | None) -> None:
        """Note a frame."""
        stats = self.stats
        stats.saw(times.time, lasts=1 / self.segmenter.config.fps)
        stats.live = self.source.live
        if stats.live:
            stats.began = times.clock if stats.began is None else stats.began
            stats.lagged(self.source.lag + times.predicted - times.arrived)
        if image is not None:
            self._thumbnails.add(times.time, image)

    def push(
        self, row_D: NDArray[np.float32], times: FrameTimes, classes_K: NDArray[np.float32] | None
    ) -> Iterator[Segment]:
        """Take the next row; the segment that it ends, if it does."""
        pushed = time.monotonic()
        closed = self.segmenter.push(row_D, times.time, classes_K=classes_K)
        decoded = time.monotonic()
        self._times.append(times)
        self._began = times.clock if self._began is None else self._began
        self._scored.append(times.time)
        self.stats.signal.add(self._scored[0], self.segmenter.score)
        for segment in closed:
            following = next(known for known in self._times if known.time >= segment.end)
            if self.source.live:
                self.stats.latency.add(
                    Delay(
                        wait=following.taken - following.arrived,
                        encode=following.encoded - following.taken,
                        predict=following.predicted - following.encoded,
                        decide=pushed - following.predicted,
                        decode=decoded - pushed,
                    )
                )
            yield self._noted(segment, ended=following.clock)
            self._began = following.clock
            self._thumbnails.forget(before=segment.end)

    def gap(self, gap: Gap) -> Iterator[Segment]:
        """Take it that the source is away, or back: what was open is over."""
        self.stats.lag = 0.0
        if gap.end is None:
            yield from self._close(self.segmenter.interrupt())
            kind: Kind = "retry" if self._away or not self.stats.frames else "lost"
            self._away = True
            tries = f"attempt {gap.attempts + 1} to reach it in {gap.wait:.1f} s"
            self._tell(Notice(self.name, kind, gap.start, _now(), f"{gap.reason}; {tries}"))
            return
        self._away = False
        self.stats.was_away(gap.start, gap.end)
        message = f"there again after {gap.end - gap.start:.1f} s" if gap.end > gap.start else "reached"
        self._tell(Notice(self.name, "back", gap.end, _now(), message, since=gap.start))

    def end(self, error: Exception | None) -> Iterator[Segment]:
        """Nothing more comes: the last segment."""
        if self.over:
            return
        self.over, self.failure = True, error
        yield from self._close(self.segmenter.close())
        self.stats.tick()
        if error is not None and (self.source.live or self._shared):
            message = getattr(error, "message", str(error))
            self._tell(Notice(self.name, "gone", self.stats.end, _now(), message))

    def paced(self, *, full: float) -> None:
        """Note that another number of frames per second is looked at; `full` is that of an idle model."""
        fps = self.grid.fps
        self.stats.paced(fps)
        why = "this machine keeps up again" if fps == full else "what this machine keeps up with"
        self._tell(Notice(self.name, "rate", self.stats.end, _now(), f"looking at {fps:g} frames per second: {why}"))

    def kept(self, segments: Sequence[Segment]) -> Iterator[Segment]:
        """Note segments that were found otherwise than by `push`."""
        yield from map(self._noted, segments)

    def _close(self, segments: Sequence[Segment]) -> Iterator[Segment]:
        for segment in segments:
            newest = self._times[-1]
            yield self._noted(segment, ended=newest.clock + timedelta(seconds=segment.end - newest.time))
            self._thumbnails.forget(before=segment.end)
        self._began = None
        self._times.clear()
        self._scored.clear()

    def _noted(self, segment: Segment, *, ended: datetime | None = None) -> Segment:
        self.stats.decodes += 1
        self.stats.tick()
        if self.stats.thumbnails:
            self.stats.images.append(self._image(segment.time))
        return replace(segment, began=self._began, ended=ended) if self.source.live else segment

    def _image(self, when: float) -> bytes | None:
        """Small JPEG of the frame at a time; where it is not kept any more, a file is read once more."""
        if not self._thumbnails.has(when) and (image := self.source.image_at(when)) is not None:
            return thumbnail(image)
        return self._thumbnails.nearest(when)

    def _tell(self, notice: Notice) -> None:
        self._notify(notice)


def _now() -> datetime:
    return datetime.now(UTC)
