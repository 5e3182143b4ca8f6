"""Work of unequal length, shared by the processes of a run: who is done waits for as long as the others are alive.

A collective is no way to wait for that. It gives up after the timeout of its process group (ten minutes with NCCL, half
an hour with gloo), however well the others are, and a process that has died looks like one that is slow. Here each
process writes a heartbeat into the key-value store of the group, which machines without a common disk have too.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist

from vljepa.data.processes import process_count, process_number
from vljepa.errors import DataError

BEAT = 1.0
"""Seconds between two heartbeats."""
SILENCE = 120.0
"""Seconds without a heartbeat after which a process counts as dead."""
ABSENCE = 1800.0
"""Seconds until the last process has to have begun: they may load a model from disks of unequal speed."""
_LOOK = 0.05

ItemT = TypeVar("ItemT")


class Peers:
    """Heartbeats of all processes during one piece of work.

    Args:
        store: Keys and values that all have in common.
        number: Of this process.
        count: Of processes.
        what: The work, for errors: "filling the cache".
    """

    def __init__(self, store: Any, *, number: int, count: int, what: str) -> None:
        turn = store.add(f"long_work/turns/{number}", 1)  # all come to the same pieces of work in the same order
        self._store, self._prefix = store, f"long_work/{turn}"
        self._number, self._what = number, what
        self._waited_for = set(range(count)) - {number}
        self._heard = dict.fromkeys(self._waited_for, ("", time.monotonic()))
        self._failure: str | None = None
        self._state = "working"
        self._reason = ""
        self._one_writer = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether another process has failed or died."""
        return self._failure is not None

    def while_well(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Go through items, and stop when another process has failed, so that what is done can still be written."""
        for item in items:
            yield item
            if self.failed:
                return

    def wait(self) -> None:
        """Say that this process is done, and wait for the others.

        Raises:
            DataError: Another one has failed or died.
        """
        if not self.failed:
            self._publish("done")
        while self._waited_for and not self.failed:
            self._ended.wait(_LOOK)
        if self._failure is not None:
            raise DataError(
                f"{self._failure}.",
                fix="see what that process says, and run the same command again: what is done is kept.",
            )

    def fail(self, reason: str) -> None:
        """Tell the others that this process gives up."""
        self._publish("failed", reason)

    def leave(self) -> None:
        """Stop beating, and let go of the store."""
        self._ended.set()
        self._thread.join(timeout=10 * BEAT)  # a store that hangs is no reason to stay
        self._store = None

    def _publish(self, state: str, reason: str = "") -> None:
        self._state, self._reason = state, reason
        try:
            self._write(0)
        except RuntimeError:  # the store has gone, and with it those who would read this
            self._lost()

    def _write(self, beat: int) -> None:
        with self._one_writer:  # a heartbeat composed before "done" must not come after it
            text = json.dumps({"state": self._state, "beat": beat, "reason": self._reason})
            self._store.set(f"{self._prefix}/{self._number}", text)

    def _beat(self) -> None:
        beat = 0
        while not self._ended.is_set():
            beat += 1
            try:
                self._write(beat)
                for other in sorted(self._waited_for):
                    self._look_at(other)
            except RuntimeError:  # torch raises its errors of the store as such
                self._lost()
                return
            self._ended.wait(BEAT)

    def _look_at(self, other: int) -> None:
        key, (heard, since) = f"{self._prefix}/{other}", self._heard[other]
        now, text = time.monotonic(), heard
        if self._store.check([key]):
            text = self._store.get(key).decode()
        if text != heard:
            self._heard[other] = text, now
            message = json.loads(text)
            if message["state"] == "done":
                self._waited_for.discard(other)
            elif message["state"] == "failed":
                self._fail(f"process {other} failed while {self._what}: {message['reason'].rstrip('.')}")
        elif now - since > (SILENCE if heard else ABSENCE):
            since_when = "has died" if heard else "has not begun"
            self._fail(f"process {other} {since_when}: nothing was heard of it for {now - since:.0f} s, {self._what}")

    def _lost(self) -> None:
        self._fail(f"the process that the others meet at has ended while {self._what}")

    def _fail(self, failure: str) -> None:
        self._failure = self._failure or failure


class _Alone:
    """The same for a run of one process."""

    failed = False

    @staticmethod
    def while_well(items: Iterable[ItemT]) -> Iterable[ItemT]:
        return items


@contextmanager
def long_work(what: str) -> Iterator[Peers | _Alone]:
    """Inside, this process does its share, for as long as it takes; at the end it waits for all others.

    All processes must come here together. A collective may follow at once.

    Args:
        what: The work, for errors: "filling the cache".

    Raises:
        DataError: Another process has failed, with what it said, or has died.
    """
    if process_count() == 1:
        yield _Alone()
        return
    # `get_group_store` of the group keeps its store alive: a next group on the same port meets the old one, and hangs.
    store = dist.distributed_c10d._get_default_store()
    peers = Peers(store, number=process_number(), count=process_count(), what=what)
    try:
        yield peers
        peers.wait()
    except BaseException as error:
        peers.fail(getattr(error, "message", str(error)) or type(error).__name__)
        raise
    finally:
        peers.leave()
