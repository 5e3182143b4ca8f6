"""Events on their way to somewhere slow: a bounded queue and a thread, so that whoever adds one never waits."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LAST_WAIT = 1.0  # at the end, when there is no time for longer ones; a pause is ended then


class RefusedEventError(Exception):
    """The receiver says that this event will never be taken; trying again has no use."""


@dataclass
class Counts:
    """What became of the events.

    Args:
        sent: Taken by the receiver.
        dropped: Lost, the oldest first, because the queue was full or there was no time left at the end.
        refused: Not taken, and not tried again.
        retries: Attempts that failed and were repeated.
    """

    sent: int = 0
    dropped: int = 0
    refused: int = 0
    retries: int = 0


class Outbox:
    """Sends events one after the other, in order; one that cannot be sent is tried again after growing waits.

    Args:
        send: Sends one event. `RefusedEventError` drops it; any other exception is a reason to try again.
        size: Events that may wait; the oldest is dropped for the next.
        first_wait: Seconds before the second attempt; each wait is twice the last, up to 30, less up to half at random.
        on_trouble: Called with a sentence when sending first fails, and when it works again.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        *,
        size: int = 1000,
        first_wait: float = _FIRST_WAIT,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self.counts = Counts()
        self._send = send
        self._size = size
        self._first_wait = first_wait
        self._say = on_trouble or (lambda message: None)
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ending: float | None = None
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    def put(self, event: bytes) -> None:
        """Add an event; returns at once."""
        with self._changed:
            if len(self._waiting) >= self._size:
                self._waiting.popleft()
                self.counts.dropped += 1
            self._waiting.append(event)
            self._changed.notify()

    def close(self, *, wait: float = 10.0) -> Counts:
        """Send what waits, for so many seconds at most; what is left then counts as dropped.

        A receiver that hangs in the last attempt is left to itself.
        """
        with self._changed:
            self._ending = time.monotonic() + wait
            self._changed.notify()
        self._thread.join(wait)
        with self._changed:
            self.counts.dropped += len(self._waiting)
            self._waiting.clear()
            return Counts(**vars(self.counts))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and self._ending is None:
                    self._changed.wait()
                if not self._waiting or self._is_over():
                    return
                event = self._waiting[0]
            self._deliver(event)

    def _deliver(self, event: bytes) -> None:
        """Try until it is sent, refused, dropped for newer ones, or there is no time left."""
        wait, failed = self._first_wait, False
        while True:
            try:
                self._send(event)
            except RefusedEventError as error:
                self._say(str(error))
                self._leave(event, refused=True)
                return
            except Exception as error:
                if not failed:
                    self._say(f"{error or type(error).__name__}; trying again")
                failed = True
            else:
                if failed:
                    self._say("sent again")
                self._leave(event)
                return
            if not self._pause(event, wait * random.uniform(0.5, 1.0)):
                return
            wait = min(2 * wait, _LONGEST_WAIT)

    def _pause(self, event: bytes, seconds: float) -> bool:
        """Wait before the next attempt; False where there is none."""
        with self._changed:
            ending = self._ending is not None
            until = time.monotonic() + (min(seconds, _LAST_WAIT) if ending else seconds)
            while (
                not self._is_over()
                and ending == (self._ending is not None)
                and time.monotonic() < until
                and self._waiting
                and self._waiting[0] is event
            ):
                end = until if self._ending is None else min(until, self._ending)
                self._changed.wait(max(0.0, end - time.monotonic()))
            if self._is_over() or not (self._waiting and self._waiting[0] is event):
                return False
            self.counts.retries += 1
            return True

    def _leave(self, event: bytes, *, refused: bool = False) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
                self.counts.refused += refused
                self.counts.sent += not refused
            elif not refused:  # dropped while it was being sent, and yet it arrived
                self.counts.sent += 1
                self.counts.dropped -= 1

    def _is_over(self) -> bool:
        return self._ending is not None and time.monotonic() >= self._ending
