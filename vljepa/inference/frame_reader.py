"""Frames read and prepared in a thread of their own, so that reading and encoding overlap in bounded memory."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from vljepa.processing.video import Frame

Item = TypeVar("Item")

_PATIENCE = 0.1
"""Seconds between two looks at whether to stop, while no frame comes."""
_FAREWELL = 5.0
"""Seconds that closing waits for a source that is in the middle of a frame."""


class FrameReader(Generic[Item]):
    """Batches of prepared frames, as many as are there: never waits to fill one, so that a live source has no delay.

    Use it in a `with` block: leaving it ends the thread, however many frames are left.

    Args:
        frames: What to read; taken, and closed where it can be, in the thread alone.
        prepare: From a frame to what the consumer wants, in the thread too.
        batch: Largest batch. Twice as many items wait at most.
        stop: When set, reading ends before the next batch; also while no frame comes.

    Attributes:
        seconds: Time that reading and preparing took so far, in the thread.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        prepare: Callable[[Frame], Item],
        batch: int,
        stop: threading.Event | None = None,
    ) -> None:
        self.seconds = 0.0
        self._frames = frames
        self._prepare = prepare
        self._batch = batch
        self._stop = stop if stop is not None else threading.Event()
        self._closed = threading.Event()
        # An end (None) or an error comes as the last item.
        self._items: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=2 * batch)
        # A daemon: a camera that has stopped answering must not keep the process alive.
        self._thread = threading.Thread(target=self._read, name="vljepa-frame-reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        deadline = time.monotonic() + _FAREWELL
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._empty()  # the thread may wait for room
            self._thread.join(timeout=_PATIENCE / 10)

    def __iter__(self) -> Iterator[list[Item]]:
        """Batches until the end, or until `stop`.

        Raises:
            BaseException: What reading or preparing raised, after all that was read before.
        """
        while not self._stop.is_set():
            items: list[Item] = []
            last = self._next()
            while last is not None and not isinstance(last, BaseException):
                items.append(last)
                if len(items) == self._batch or self._items.empty():
                    break
                last = self._next()
            else:
                if items:
                    yield items
                if isinstance(last, BaseException):
                    raise last
                return
            yield items

    def _next(self) -> Item | BaseException | None:
        while not self._stop.is_set():
            try:
                return self._items.get(timeout=_PATIENCE)
            except queue.Empty:
                pass
        return None

    def _read(self) -> None:
        ending: BaseException | None = None
        source = iter(self._frames)
        try:
            while not self._done():
                begin = time.perf_counter()
                frame = next(source, None)
                item = self._prepare(frame) if frame is not None else None
                self.seconds += time.perf_counter() - begin
                if item is None:
                    break
                self._put(item)
        except BaseException as error:
            ending = error
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        self._put(ending)

    def _put(self, item: Item | BaseException | None) -> None:
        while not self._done():
            try:
                self._items.put(item, timeout=_PATIENCE)
                return
            except queue.Full:
                pass

    def _done(self) -> bool:
        return self._closed.is_set() or self._stop.is_set()

    def _empty(self) -> None:
        try:
            while True:
                self._items.get_nowait()
        except queue.Empty:
            pass
