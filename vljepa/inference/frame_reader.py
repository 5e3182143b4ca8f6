"""Frames of one or more sources, each read and prepared in a thread of its own, beside the work of the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

from vljepa.inference.frame_sources import FrameSource
from vljepa.processing.live import Gap
from vljepa.processing.video import Frame

Item = TypeVar("Item")

_PATIENCE = 0.1
"""Seconds between two looks at whether to stop, while no frame comes."""
_LIVE_ROOM = 4
"""Frames that wait at most where frames may be dropped: more would only be older."""
_FAREWELL = 1.0
"""Seconds that closing waits for sources that are in the middle of a frame."""


@dataclass(frozen=True, slots=True)
class Read(Generic[Item]):
    """A prepared frame.

    Args:
        time: Of the frame, in seconds of its stream.
        item: What `prepare` made of it.
        arrived: When it was there, by `time.monotonic`.
        clock: When it was there, wall-clock.
    """

    time: float
    item: Item
    arrived: float
    clock: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The last thing of a source: nothing more comes, for it is over or because of an error."""

    error: Exception | None


class FrameReaders(Generic[Item]):
    """Batches of what the sources have, as much as is there: never waits to fill one, so that nothing is late.

    Use it in a `with` block: leaving it ends the threads, however many frames are left. Each batch takes from the
    sources in turn, so that a quick one does not keep the others waiting. Memory is bounded: a source that may not drop
    frames waits for room (two batches), and of one that may, the oldest waiting frame makes room (four wait).

    Args:
        sources: What to read; taken, and closed where it can be, in the source's thread alone.
        prepare: From a frame to what the consumer wants, in the thread too.
        batch: Largest batch.
        stop: When set, reading ends before the next batch; also while no frame comes.

    Attributes:
        seconds: Time that reading and preparing took so far, in the thread, per source.
        dropped: Frames that made room, per source.
    """

    def __init__(
        self,
        sources: Sequence[FrameSource],
        *,
        prepare: Callable[[Frame], Item],
        batch: int,
        stop: threading.Event | None = None,
    ) -> None:
        self.seconds = [0.0] * len(sources)
        self.dropped = [0] * len(sources)
        self._sources = sources
        self._prepare = prepare
        self._batch = batch
        self._stop = stop if stop is not None else threading.Event()
        self._closed = threading.Event()
        self._left = [threading.Event() for _ in sources]
        self._changed = threading.Condition()
        self._waiting: list[deque[Read[Item] | Gap | Ended]] = [deque() for _ in sources]
        self._open = len(sources)
        self._turn = 0
        # Daemons: a camera that has stopped answering must not keep the process alive.
        self._threads = [
            threading.Thread(target=self._read, args=(number,), name="vljepa-frame-reader", daemon=True)
            for number in range(len(sources))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        deadline = time.monotonic() + _FAREWELL
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def __iter__(self) -> Iterator[list[tuple[int, Read[Item] | Gap | Ended]]]:
        """Batches of (number of the source, what it gave), until all have ended, or until `stop`."""
        while self._open and not self._stop.is_set():
            with self._changed:
                batch = self._take()
                if not batch:
                    self._changed.wait(_PATIENCE)
                    continue
                self._changed.notify_all()
            self._open -= sum(isinstance(thing, Ended) for _, thing in batch)
            yield batch

    def leave(self, number: int) -> None:
        """Read no more of one source; it ends as if it were over."""
        self._left[number].set()

    def _take(self) -> list[tuple[int, Read[Item] | Gap | Ended]]:
        batch: list[tuple[int, Read[Item] | Gap | Ended]] = []
        count = len(self._waiting)
        while len(batch) < self._batch and any(self._waiting):
            waiting = self._waiting[self._turn]
            if waiting:
                batch.append((self._turn, waiting.popleft()))
            self._turn = (self._turn + 1) % count
        return batch

    def _read(self, number: int) -> None:
        source = self._sources[number]
        ending: Exception | None = None
        frames: Iterator[Frame | Gap] = iter(())
        try:
            frames = source.frames(partial(self._done, number))
            while not self._done(number):
                begin = time.perf_counter()
                frame = next(frames, None)
                arrived, clock = time.monotonic(), datetime.now(UTC)
                thing = Read(frame.time, self._prepare(frame), arrived, clock) if isinstance(frame, Frame) else frame
                self.seconds[number] += time.perf_counter() - begin
                if thing is None:
                    break
                self._put(number, thing)
        except Exception as error:
            ending = error
        try:
            close = getattr(frames, "close", None)
            if close is not None:
                close()
        except Exception as error:
            ending = ending or error
        self._put(number, Ended(ending))

    def _put(self, number: int, thing: Read[Item] | Gap | Ended) -> None:
        waiting, drops = self._waiting[number], self._sources[number].drops
        room = _LIVE_ROOM if drops else 2 * self._batch
        with self._changed:
            while isinstance(thing, Read) and _frames_in(waiting) >= room and not self._done(number):
                if drops:
                    _drop_oldest(waiting)
                    self.dropped[number] += 1
                else:
                    self._changed.wait(_PATIENCE)
            waiting.append(thing)
            self._changed.notify_all()

    def _done(self, number: int) -> bool:
        return self._closed.is_set() or self._stop.is_set() or self._left[number].is_set()


def _frames_in(waiting: deque[Read[Item] | Gap | Ended]) -> int:
    return sum(isinstance(thing, Read) for thing in waiting)


def _drop_oldest(waiting: deque[Read[Item] | Gap | Ended]) -> None:
    """Let go of the oldest frame; gaps stay."""
    del waiting[next(place for place, thing in enumerate(waiting) if isinstance(thing, Read))]
