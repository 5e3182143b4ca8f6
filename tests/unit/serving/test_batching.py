"""The thread that uses the model: what goes together, whose turn it is, errors, delays and deaths."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vljepa.serving.batching import MAX_DEATHS, Batcher, Kind
from vljepa.serving.errors import TooSlowError, UnavailableError


class Gate:
    """Work that waits until it is opened, and notes its batches; items are doubled."""

    def __init__(self):
        self.entered, self.open = threading.Semaphore(0), threading.Semaphore(0)
        self.batches = []

    def kind(self, name="texts", most=8, **options):
        def run(items):
            self.entered.release()
            assert self.open.acquire(timeout=60)
            self.batches.append((name, list(items)))
            for one in items:
                if isinstance(one, BaseException):
                    raise one
            return [2 * one for one in items]

        return Kind(name, run, most, **options)

    def let(self, count):
        for _ in range(count):
            self.open.release()


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def batcher():
    made = Batcher(window=0.0)
    yield made
    if made.ready:
        made.close()


def begin(gate, batcher):
    """Have the thread at work on an item, so that others gather."""
    job = batcher.submit(gate.kind("first"), [0])
    assert gate.entered.acquire(timeout=60)
    return job


def test_what_waits_of_a_kind_goes_together(gate, batcher):
    begin(gate, batcher)
    jobs = [batcher.submit(gate.kind(), [number]) for number in (1, 2, 3)]
    gate.let(2)
    assert [job.result(60) for job in jobs] == [[2], [4], [6]]
    assert gate.batches == [("first", [0]), ("texts", [1, 2, 3])]


def test_a_batch_has_its_most_and_kinds_take_turns(gate, batcher):
    begin(gate, batcher)
    jobs = [batcher.submit(gate.kind(most=2), [number]) for number in range(5)]
    jobs += [batcher.submit(gate.kind("images", most=2), [number]) for number in range(3)]
    gate.let(6)
    assert [job.result(60) for job in jobs] == [[0], [2], [4], [6], [8], [0], [2], [4]]
    assert gate.batches[1:] == [
        ("texts", [0, 1]), ("images", [0, 1]), ("texts", [2, 3]), ("images", [2]), ("texts", [4])
    ]  # fmt: skip


def test_a_large_request_lets_small_ones_in_between(gate, batcher):
    begin(gate, batcher)
    large = batcher.submit(gate.kind(most=4), list(range(100)))
    small = batcher.submit(gate.kind(most=4), [1000])
    gate.let(2)
    assert small.result(60) == [2000]
    assert gate.batches[1] == ("texts", [0, 1000, 1, 2])
    gate.let(30)
    assert large.result(60) == [2 * number for number in range(100)]


def test_other_options_are_another_kind(gate, batcher):
    begin(gate, batcher)
    jobs = [batcher.submit(gate.kind("classify", options=("a",)), [1])]
    jobs += [batcher.submit(gate.kind("classify", options=("b",)), [2])]
    jobs += [batcher.submit(gate.kind("classify", options=("a",)), [3])]
    gate.let(3)
    assert [job.result(60) for job in jobs] == [[2], [4], [6]]
    assert [items for _, items in gate.batches[1:]] == [[1, 3], [2]]


def test_an_error_reaches_the_request_that_it_belongs_to(gate, batcher):
    begin(gate, batcher)
    good = [batcher.submit(gate.kind(), [1]), batcher.submit(gate.kind(), [2])]
    bad = batcher.submit(gate.kind(), [ValueError("mine")])
    more = batcher.submit(gate.kind(), [3, 4])
    gate.let(6)
    assert [job.result(60) for job in (*good, more)] == [[2], [4], [6, 8]]
    with pytest.raises(ValueError, match="mine"):
        bad.result(60)


def test_what_nobody_waits_for_is_not_done(gate, batcher):
    begin(gate, batcher)
    late = batcher.submit(gate.kind(), [1])
    with pytest.raises(TooSlowError):
        late.result(0.01)
    left = batcher.submit(gate.kind(), [2])
    left.abandon()
    kept = batcher.submit(gate.kind(), [3])
    gate.let(2)
    assert kept.result(60) == [6]
    assert gate.batches[1:] == [("texts", [3])]


def test_a_timeout_of_the_work_itself_is_its_error(gate, batcher):
    job = batcher.submit(gate.kind(), [TimeoutError("of the work")])
    gate.let(1)
    with pytest.raises(TimeoutError, match="of the work"):
        job.result(60)


def test_nothing_is_done_at_once():
    batcher = Batcher()
    assert batcher.submit(Kind("texts", list, 8), []).result(0) == []
    batcher.close()


def test_a_death_fails_what_was_in_hand_and_the_rest_is_done_by_a_successor(gate):
    deaths = []
    batcher = Batcher(window=0.0, on_death=lambda: deaths.append(threading.current_thread()))
    first = batcher.thread
    job = begin(gate, batcher)
    killed, waiting = batcher.submit(gate.kind(), [SystemExit()]), batcher.submit(gate.kind("images"), [5])
    gate.let(3)
    assert job.result(60) == [0]
    with pytest.raises(UnavailableError) as told:
        killed.result(60)
    assert told.value.retry_after == 1
    assert waiting.result(60) == [10]
    assert deaths == [first]
    assert batcher.thread is not first
    assert batcher.ready
    batcher.close()


def test_one_that_dies_again_and_again_is_not_ready(gate):
    batcher = Batcher(window=0.0)
    gate.let(100)
    for _ in range(MAX_DEATHS):
        with pytest.raises(UnavailableError):
            batcher.submit(gate.kind(), [SystemExit()]).result(60)
    batcher.thread.join(60)
    assert not batcher.ready
    with pytest.raises(UnavailableError):
        batcher.submit(gate.kind(), [1])


def test_one_that_hangs_is_not_ready(gate):
    batcher = Batcher(window=0.0, patience=0.0)
    assert batcher.ready
    job = begin(gate, batcher)
    while batcher.ready:  # by the clock's next tick
        pass
    gate.let(1)
    assert job.result(60) == [0]
    batcher.close()


def test_one_that_is_closed_fails_what_waits(gate):
    batcher = Batcher(window=0.0)
    job = begin(gate, batcher)
    waiting = batcher.submit(gate.kind(), [1])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while batcher.ready:
        pass
    gate.let(1)
    closing.join(60)
    assert job.result(60) == [0]
    for ask in (lambda: waiting.result(60), lambda: batcher.submit(gate.kind(), [1])):
        with pytest.raises(UnavailableError):
            ask()


def test_a_lone_request_waits_for_nobody():
    """One after the other they are done at once, whatever the window is."""
    batcher = Batcher(window=3600.0)
    kind = Kind("texts", lambda items: items, 8)
    assert [batcher.submit(kind, [number]).result(60) for number in range(20)] == [[number] for number in range(20)]
    batcher.close()


def test_after_a_crowd_a_batch_waits_for_more(gate):
    batcher = Batcher(window=3600.0)
    begin(gate, batcher)
    jobs = [batcher.submit(gate.kind(most=2), [number]) for number in (1, 2, 3)]
    gate.let(2)
    assert jobs[0].result(60) == [2]
    later = batcher.submit(gate.kind(most=2), [4])
    gate.let(1)
    assert later.result(60) == [8]
    assert gate.batches[2] == ("texts", [3, 4])
    gate.let(1)
    batcher.close()


def test_batches_are_told(gate):
    told = []
    batcher = Batcher(window=0.0, on_batch=lambda *one: told.append(one))
    gate.let(1)
    batcher.submit(gate.kind(), [1, 2]).result(60)
    batcher.close()
    [(name, items, seconds)] = told
    assert (name, items) == ("texts", 2)
    assert 0 <= seconds < 60


def test_results_go_to_whom_they_belong_under_load():
    batcher = Batcher()
    kinds = [Kind(name, lambda items: [3 * one for one in items], most) for name, most in (("a", 3), ("b", 5))]

    def ask(number):
        items = list(range(number, number + number % 7))
        return batcher.submit(kinds[number % 2], items).result(60) == [3 * one for one in items]

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(2000)))
    batcher.close()
