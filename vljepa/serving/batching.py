"""Dynamic batching: one thread owns the model, and takes together what concurrent requests want of it.

Work waits by kind (texts, images, captions). The kinds take turns, and within a kind the requests do, item by item: a
request of 2,000 texts delays a request of one by a batch, not by 2,000 texts. A batch that fails is done again request
by request, so that an error reaches the request that it belongs to and no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vljepa.serving.errors import TooSlowError, UnavailableError

Run: TypeAlias = Callable[[list[Any]], Sequence[Any]]
OnBatch: TypeAlias = Callable[[str, int, float], object]

WINDOW = 0.002
"""Seconds that a batch waits for more items, where the one before it had several requests."""
MAX_DEATHS = 5
"""So many deaths of the thread within `DEATHS_WITHIN` seconds are more than bad luck."""
DEATHS_WITHIN = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of work: items of equal kinds may go through the model together.

    Args:
        name: What metrics call it.
        run: From a list of items to their results, in the same order.
        most: Items of a batch.
        options: What else has to be equal, such as the labels of a classification.
    """

    name: str
    run: Run = field(compare=False)
    most: int = field(compare=False)
    options: Hashable = None


class Job:
    """What one request wants of one kind."""

    def __init__(self, kind: Kind, items: Sequence[Any]) -> None:
        self.kind = kind
        self.items = items
        self.begun = 0
        self._results: list[Any] = [None] * len(items)
        self._lacking = len(items)
        self._future: Future[list[Any]] = Future()
        if not items:
            self._future.set_result([])

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._future.done()

    def result(self, timeout: float) -> list[Any]:
        """The results, one per item.

        Args:
            timeout: Seconds to wait, after which the rest of the job is not done any more.

        Raises:
            TooSlowError: They are not there in time.
        """
        try:
            return self._future.result(max(0.0, timeout))
        except TimeoutError:
            if self.fail(too_slow()):
                raise too_slow() from None
            return self._future.result()  # it ended just now

    def abandon(self) -> None:
        """Nobody waits any more: what has not begun is not done."""
        self.fail(too_slow())

    def put(self, place: int, result: Any) -> None:
        """Keep the result of one item; by the model's thread alone."""
        self._results[place] = result
        self._lacking -= 1
        if self._lacking == 0:
            with suppress(InvalidStateError):  # it was too slow just now
                self._future.set_result(self._results)

    def fail(self, error: BaseException) -> bool:
        """End it with an error; False where it had ended already."""
        try:
            self._future.set_exception(error)
        except InvalidStateError:
            return False
        return True


Batch: TypeAlias = list[tuple[Job, int]]
"""Jobs with the number of an item each."""


class Batcher:
    """The thread that uses the model.

    A thread that dies fails the requests that it had in hand and starts its successor; after `MAX_DEATHS` within a
    minute it does not, and the batcher is not `ready` any more.

    Args:
        window: See `WINDOW`; 0 takes only what waits already.
        patience: Seconds after which a batch that has not ended makes the batcher not `ready`.
        on_batch: Called after each batch with the kind's name, the number of items, and seconds.
        on_death: Called when the thread has died.
    """

    def __init__(
        self,
        *,
        window: float = WINDOW,
        patience: float = 300.0,
        on_batch: OnBatch | None = None,
        on_death: Callable[[], object] | None = None,
    ) -> None:
        self._window, self._patience = window, patience
        self._on_batch, self._on_death = on_batch, on_death
        self._waiting: OrderedDict[Kind, deque[Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._in_hand: Batch = []
        self._since: float | None = None
        self._crowded = False
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self._closed = self._gone = False
        self._thread = self._started()

    @property
    def ready(self) -> bool:
        """Whether the thread lives, and has not been at one batch for longer than `patience`."""
        since = self._since
        stuck = since is not None and time.monotonic() - since > self._patience
        return self._thread.is_alive() and not (self._closed or self._gone or stuck)

    @property
    def thread(self) -> threading.Thread:
        """The one that uses the model now."""
        return self._thread

    def submit(self, kind: Kind, items: Sequence[Any]) -> Job:
        """Have items done; the job's `result` waits for them.

        Raises:
            UnavailableError: The thread has died too often, or the batcher is closed.
        """
        job = Job(kind, items)
        if job.over:
            return job
        with self._changed:
            if self._closed or self._gone:
                raise _unavailable()
            self._waiting.setdefault(kind, deque()).append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """End the thread after the batch that it works on; what waits fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._fail_all()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._live, name="vljepa-model", daemon=True)
        thread.start()
        return thread

    def _live(self) -> None:
        try:
            while self._take():
                self._since = began = time.monotonic()
                self._work(self._in_hand)
                if self._on_batch is not None:
                    self._on_batch(self._in_hand[0][0].kind.name, len(self._in_hand), time.monotonic() - began)
                self._since = None
        except BaseException:  # whatever it was, it was not an error of a request
            _log.exception("the model's thread has died with %d items in hand", len(self._in_hand))
            self._die()

    def _die(self) -> None:
        for job, _ in self._in_hand:
            job.fail(_unavailable())
        self._in_hand, self._since = [], None
        if self._on_death is not None:
            self._on_death()
        now = time.monotonic()
        with self._changed:
            self._deaths.append(now)
            self._gone = len(self._deaths) == MAX_DEATHS and now - self._deaths[0] < DEATHS_WITHIN
            if not (self._closed or self._gone):
                self._thread = self._started()
                return
        self._fail_all()

    def _fail_all(self) -> None:
        with self._changed:
            for jobs in self._waiting.values():
                for job in jobs:
                    job.fail(_unavailable())
            self._waiting.clear()

    def _take(self) -> bool:
        """Put the next batch in hand; False where the batcher is closed."""
        with self._changed:
            self._in_hand = []
            while not self._in_hand:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return False
                kind = next(iter(self._waiting))
                self._gather(kind)
                self._cut(kind)
            self._crowded = bool(self._waiting) or len({id(job) for job, _ in self._in_hand}) > 1
            return True

    def _gather(self, kind: Kind) -> None:
        """Wait for more of a kind, where the last batch says that more will come."""
        if self._crowded:
            self._changed.wait_for(lambda: self._closed or self._count(kind) >= kind.most, self._window)

    def _count(self, kind: Kind) -> int:
        return sum(len(job.items) - job.begun for job in self._waiting[kind] if not job.over)

    def _cut(self, kind: Kind) -> None:
        """Take up to `most` items of a kind, one of each job in turn; the kind goes to the end of the line."""
        jobs = self._waiting[kind]
        while jobs and len(self._in_hand) < kind.most:
            job = jobs[0]
            if not job.over:
                self._in_hand.append((job, job.begun))
                job.begun += 1
                if job.begun < len(job.items):
                    jobs.append(job)
            jobs.popleft()
        if jobs:
            self._waiting.move_to_end(kind)
        else:
            del self._waiting[kind]

    def _work(self, batch: Batch) -> None:
        """Run a batch; one that fails, job by job."""
        kind = batch[0][0].kind
        try:
            results = kind.run([job.items[place] for job, place in batch])
            assert len(results) == len(batch)
        except Exception as error:
            parts: dict[int, Batch] = {}
            for job, place in batch:
                parts.setdefault(id(job), []).append((job, place))
            if len(parts) == 1:
                batch[0][0].fail(error)
                return
            for part in parts.values():
                self._work(part)
            return
        for (job, place), result in zip(batch, results, strict=True):
            job.put(place, result)


def too_slow() -> TooSlowError:
    """For a request that has waited long enough."""
    return TooSlowError(
        "the answer took longer than a request may.", fix="ask again later, send less at once, or raise --timeout."
    )


def _unavailable() -> UnavailableError:
    return UnavailableError("the model cannot be used just now.", fix="ask again; the server's log says why.")
