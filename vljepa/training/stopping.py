"""SIGTERM, SIGINT and SIGUSR1: a run ends at the next step's end, saved; a second signal ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vljepa.data.processes import any_process
from vljepa.stop_signals import STOP_SIGNALS

GRACE = 1.0
"""Seconds in which a further signal is taken for the same one: `timeout` and launchers send theirs twice."""


class StopRequest(KeyboardInterrupt):
    """The run is to end here."""


class StopSignals:
    """Takes the signals in while a run lasts.

    While something is prepared that has nothing to save, the signal ends it at once; in training it is only noted, and
    all processes ask together, between steps and between batches of validation, whether one of them got one.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0
        self._at_once = False

    @property
    def name(self) -> str:
        """Of the signal; that of another process is not known."""
        return "a signal" if self.received is None else signal.Signals(self.received).name

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals in; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.received = None
        before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises StopRequest wherever the process is."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def asked(self) -> bool:
        """Whether any process got a signal; all must ask at the same place."""
        return any_process(self.received is not None)

    def check(self) -> None:
        """Raise StopRequest if any process got a signal; all must ask at the same place."""
        if self.asked():
            raise StopRequest

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._since = number, time.monotonic()
            if self._at_once:
                raise StopRequest
            os.write(2, f"{self.name}: saving at the end of this step; a second signal ends at once\n".encode())
        elif time.monotonic() - self._since > GRACE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
