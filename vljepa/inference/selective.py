"""Selective decoding: a stream of embeddings becomes segments of one meaning, with one decode each.

Offline, all embeddings are there and Ward clustering in time cuts them (`segmentation`); online, a change score does
(`online`), with bounded delay and memory. Source: the paper's section on selective decoding, which has the offline
half. Shapes: T rows, D width of the shared space.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError, DataError
from vljepa.inference.online import PeakPicker, RateBudget, RateControl, change_of
from vljepa.inference.segmentation import Dendrogram, ward_chain
from vljepa.inference.words import Words

Rows = NDArray[np.float32]
Decode = Callable[[Rows, Rows | None], list[Words]]

_KEPT = 16


@dataclass
class Segment:
    """A stretch of one meaning.

    Args:
        start: Seconds, inclusive.
        end: Seconds, exclusive: the start of the next segment.
        time: Midpoint, where it is decoded.
        coherence: Length of the mean of its unit embeddings: 1 where all are alike, less where they differ.
        embedding: What is decoded, [D], unit norm.
        classes: Mean of what the X-Encoder's own classifier says of its frames, [K]; None without one.
        text: The words, or None without a decoder.
        confidence: Of the words, calibrated; None without a decoder.
        began: Of a live stream: `start` in wall-clock time, with its time zone.
        ended: Of a live stream: `end` in wall-clock time.
    """

    start: float
    end: float
    time: float
    coherence: float
    embedding: Rows
    classes: Rows | None = None
    text: str | None = None
    confidence: float | None = None
    began: datetime | None = None
    ended: datetime | None = None


class SelectiveDecoder:
    """Cuts a stream of embeddings into segments and decodes each once.

    Use either `offline` on a whole stream, or `push` for each row and `close` at the end.

    Args:
        decode: From embeddings [N, D], and class probabilities [N, K] where there are some, to N texts; None leaves the
            texts out.
        config: Method, thresholds and readout.
        rate: Online: about this many decodes per second on average; the threshold starts at the config's and follows.
        max_rate: Online: at most this many decodes per second on average. A boundary that comes while the budget is
            empty is taken as soon as there is budget again, and the segment goes on until then.

    Raises:
        ConfigError: The method's delay is longer than `config.max_delay`.

    Example:
        >>> import numpy as np
        >>> from vljepa.configs import SelectiveConfig
        >>> rows = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
        >>> decoder = SelectiveDecoder(config=SelectiveConfig())
        >>> [(one.start, one.end) for one in decoder.offline(rows, np.arange(20) / 4)]
        [(0.0, 2.5), (2.5, 5.0)]
    """

    def __init__(
        self,
        decode: Decode | None = None,
        *,
        config: SelectiveConfig,
        rate: float | None = None,
        max_rate: float | None = None,
    ) -> None:
        self.decode = decode
        self.config = config
        self.score = 0.0
        """Online: the latest change score."""
        self._change = change_of(config)
        hold = 0 if self._change.delay == 0 else config.window - 1
        self._lag = self._change.delay + hold
        if self._lag / config.fps > config.max_delay:
            raise ConfigError(
                f"{config.method} with window {config.window} answers {self._lag / config.fps:.2f} s late at "
                f"{config.fps} fps, more than max_delay = {config.max_delay}.",
                fix="choose a smaller window, more frames per second, or a longer max_delay.",
            )
        self._picker = PeakPicker(threshold=config.threshold, hold=hold)
        self._control = RateControl(rate, threshold=config.threshold) if rate is not None else None
        self._budget = RateBudget(max_rate) if max_rate is not None else None
        self._waiting = False
        # Rows that a boundary may still fall before; older ones belong to the open segment for good.
        self._recent: deque[tuple[Rows, float, Rows | None]] = deque()
        self._open: _Open | None = None
        self._last = (-np.inf, 0.0)  # time of the newest row, and its distance to the one before
        self._fresh = True  # no row yet, or none since the stream was away
        self._closed = False

    def offline(
        self,
        rows_TD: Rows,
        times_T: Sequence[float] | NDArray[np.floating],
        *,
        classes_TK: Rows | None = None,
        count: int | None = None,
        threshold: float | None = None,
        rate: float | None = None,
        tree: Dendrogram | None = None,
    ) -> list[Segment]:
        """Segments of a whole stream.

        Args:
            rows_TD: Embeddings, unit norm.
            times_T: Their times in seconds, ascending.
            classes_TK: What the X-Encoder's own classifier says of the same frames.
            count: Number of segments.
            threshold: Ward distance above which neighbouring segments stay apart.
            rate: Segments per second on average. Of the three at most one; without, `config.offline_threshold`.
            tree: The rows' `ward_chain`, where it is known already.

        Raises:
            ConfigError: More than one of the three, or a threshold or rate that is out of range.
            DataError: Rows that are not finite, times that do not ascend, or fewer rows than `count`.
        """
        times = np.asarray(times_T, dtype=np.float64)
        if sum(option is not None for option in (count, threshold, rate)) > 1:
            raise ConfigError("count, threshold and rate are three ways to say one thing.", fix="give one of them.")
        if len(times) != len(rows_TD) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise DataError(
                f"{len(times)} times for {len(rows_TD)} rows must ascend.", fix="give one later time per row."
            )
        if len(rows_TD) == 0:
            return []
        tree = tree or ward_chain(rows_TD)
        end = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1 / self.config.fps)
        if rate is not None:
            if not 0 < rate < np.inf:
                raise ConfigError(f"rate = {rate} is no number of decodes per second.", fix="give a rate above 0.")
            count = min(len(tree), max(1, round(rate * float(end - times[0]))))
        if count is None:
            count = tree.count_at(self.config.offline_threshold if threshold is None else threshold)
        starts = [*tree.boundaries(count).tolist(), len(times)]
        borders = [*times, end]
        segments = [
            _segment(
                rows_TD[first:last],
                times[first:last],
                end=float(borders[last]),
                readout=self.config.readout,
                classes=None if classes_TK is None else classes_TK[first:last].mean(0),
            )
            for first, last in pairwise(starts)
        ]
        return self._with_words(segments)

    def push(self, row_D: Rows, time: float, *, classes_K: Rows | None = None) -> list[Segment]:
        """Take the next row of a live stream; the segment that it closes, if it does.

        Args:
            row_D: Embedding, unit norm.
            time: Seconds; later than the row before.
            classes_K: What the X-Encoder's own classifier says of the same frame.

        Raises:
            DataError: The row is not finite or of another shape than the first, the time is not later, or the stream
                is closed.
        """
        if self._closed:
            raise DataError("the stream is closed.", fix="make a new SelectiveDecoder for another stream.")
        if row_D.ndim != 1 or (self._recent and row_D.shape != self._recent[-1][0].shape):
            raise DataError(
                f"the embedding at {time} s has shape {row_D.shape}.", fix="push one row [D] at a time, of one model."
            )
        if not np.isfinite(row_D).all():
            raise DataError(f"the embedding at {time} s is not a number.", fix="leave the frame out.")
        if not self._last[0] < time < np.inf:
            raise DataError(f"a row at {time} s is not after the one before.", fix="push rows in time order.")
        self._last = (time, 1 / self.config.fps if self._fresh else time - self._last[0])
        self._fresh = False
        row_D = np.array(row_D, dtype=np.float32)
        self._recent.append((row_D, time, classes_K))
        self.score = self._change.push(row_D)
        peak = self._picker.push(self.score)
        if peak is not None:
            segments = self._cut(rows_left=self._change.delay + peak + 1, now=time)
        elif self._waiting:
            segments = self._cut(rows_left=1, now=time)
        else:
            segments = []
        if self._control is not None:
            self._picker.threshold = self._control.push(seconds=self._last[1], boundaries=len(segments))
        while len(self._recent) > self._lag + 1:
            self._commit()
        return self._with_words(segments)

    def close(self) -> list[Segment]:
        """End the stream: its last segment, or nothing for an empty stream."""
        segments = [] if self._closed else self._finish()
        self._closed = True
        return self._with_words(segments)

    def interrupt(self) -> list[Segment]:
        """The stream is away: the open segment, or nothing when no row came since the last one.

        What comes next is a new segment that knows nothing of the rows before. It counts against `max_rate`: a source
        that comes and goes does not decode more often than that, on average.
        """
        # A row stands for its usual time, not for that of the frames which got lost after it.
        segments = [] if self._closed else self._finish(at_most=1 / self.config.fps)
        self._fresh = True
        if segments:
            if self._budget is not None:
                self._budget.charge(self._last[0])
            self._change = change_of(self.config)
            self._picker = PeakPicker(threshold=self._picker.threshold, hold=self._picker.hold)
            self._waiting = False
        return self._with_words(segments)

    def _finish(self, *, at_most: float = np.inf) -> list[Segment]:
        """The open segment with all rows so far; the last of them lasts as long as the one before, or `at_most`."""
        while self._recent:
            self._commit()
        if self._open is None:
            return []
        end = self._last[0] + min(self._last[1], at_most)
        segment = self._open.segment(end=end, readout=self.config.readout)
        self._open = None
        return [segment]

    def _cut(self, *, rows_left: int, now: float) -> list[Segment]:
        """Close the open segment before the newest `rows_left` rows, budget permitting."""
        before = len(self._recent) - rows_left
        if before < 0 or (before == 0 and self._open is None):
            return []  # it would be empty
        if self._budget is not None and not self._budget.spend(now):
            self._waiting = True
            return []
        self._waiting = False
        for _ in range(before):
            self._commit()
        assert self._open is not None
        segment = self._open.segment(end=self._recent[0][1], readout=self.config.readout)
        self._open = None
        self._change.restart([row for row, _, _ in self._recent])
        return [segment]

    def _commit(self) -> None:
        row, time, classes = self._recent.popleft()
        if self._open is None:
            self._open = _Open(time)
        self._open.add(row, time, classes)

    def _with_words(self, segments: list[Segment]) -> list[Segment]:
        if self.decode is not None and segments:
            classes = [segment.classes for segment in segments if segment.classes is not None]
            known = np.stack(classes) if len(classes) == len(segments) else None
            texts = self.decode(np.stack([segment.embedding for segment in segments]), known)
            for segment, words in zip(segments, texts, strict=True):
                segment.text, segment.confidence = words.text or None, words.confidence
        return segments


class _Open:
    """The open segment: its sum, and a few of its rows, evenly spaced, of which one is nearest to the midpoint."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.count = 0
        self._sum: NDArray[np.float64] | None = None
        self._classes: NDArray[np.float64] | None = None
        self._kept: list[tuple[float, Rows]] = []
        self._stride = 1

    def add(self, row: Rows, time: float, classes: Rows | None) -> None:
        if classes is not None:
            self._classes = classes.astype(np.float64) if self._classes is None else self._classes + classes
        self._sum = row.astype(np.float64) if self._sum is None else self._sum + row
        if self.count % self._stride == 0:
            self._kept.append((time, row))
            if len(self._kept) > _KEPT:
                self._kept = self._kept[::2]
                self._stride *= 2
        self.count += 1

    def segment(self, *, end: float, readout: str) -> Segment:
        assert self._sum is not None
        middle = (self.start + end) / 2
        mean = self._sum / self.count
        exact = min(self._kept, key=lambda one: abs(one[0] - middle))[1]
        classes = None if self._classes is None else (self._classes / self.count).astype(np.float32)
        return _made(start=self.start, end=end, mean=mean, exact=exact, readout=readout, classes=classes)


def _segment(rows: Rows, times: NDArray[np.float64], *, end: float, readout: str, classes: Rows | None) -> Segment:
    start = float(times[0])
    exact = rows[int(np.abs(times - (start + end) / 2).argmin())]
    mean = rows.mean(0, dtype=np.float64)
    return _made(start=start, end=end, mean=mean, exact=exact, readout=readout, classes=classes)


def _made(
    *, start: float, end: float, mean: NDArray[np.float64], exact: Rows, readout: str, classes: Rows | None
) -> Segment:
    length = float(np.linalg.norm(mean))
    # Opposite rows can cancel out; then no mean is there to be read.
    read = mean / length if readout == "mean" and length > 1e-6 else exact
    return Segment(
        start=start,
        end=end,
        time=(start + end) / 2,
        coherence=min(1.0, length),
        embedding=np.asarray(read, dtype=np.float32),
        classes=classes,
    )
