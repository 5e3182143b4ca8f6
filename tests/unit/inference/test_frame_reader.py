import threading
import time

import pytest
from PIL import Image

from tests.live import frame_readers
from vljepa.errors import VideoError
from vljepa.inference.frame_reader import Ended, FrameReaders, Read
from vljepa.inference.frame_sources import GivenFrames
from vljepa.processing.live import Gap
from vljepa.processing.video import Frame


def frames(count, *, broken=False, taken=None, gate=None):
    for number in range(count):
        if gate is not None:
            gate.wait(timeout=30)
        if taken is not None:
            taken.append(number)
        yield Frame(Image.new("RGB", (2, 2)), number / 4, number)
    if broken:
        raise OSError("the cable is out")


def readers_of(*sources, batch=4, stop=None, prepare=lambda frame: frame.index, drops=False):
    given = [GivenFrames(source, drops=drops) for source in sources]
    return FrameReaders(given, prepare=prepare, batch=batch, stop=stop)


def numbers(batch):
    return [thing.item for _, thing in batch if isinstance(thing, Read)]


def ending(batches):
    [error] = [thing.error for batch in batches for _, thing in batch if isinstance(thing, Ended)]
    return error


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_every_frame_comes_once_in_order_and_in_batches():
    with readers_of(frames(50)) as reading:
        batches = list(reading)

    assert [number for batch in batches for number in numbers(batch)] == list(range(50))
    assert all(1 <= len(batch) <= 4 for batch in batches)
    assert ending(batches) is None
    assert reading.seconds[0] > 0
    assert frame_readers() == []


def test_a_frame_says_when_it_came():
    before = time.monotonic()
    with readers_of(frames(1)) as reading:
        [(_, read)] = next(iter(reading))[:1]

    assert before <= read.arrived <= time.monotonic()
    assert abs(read.clock.timestamp() - time.time()) < 30
    assert read.clock.tzinfo is not None


def test_it_reads_while_the_consumer_works_but_never_far_ahead():
    taken = []
    with readers_of(frames(100, taken=taken), batch=4) as reading:
        seen = len(next(iter(reading)))
        wait_for(lambda: len(taken) >= seen + 8)

        ahead = len(taken) - seen

        assert 8 <= ahead <= 9  # two batches that wait, one frame in the thread's hand
    assert len(taken) <= seen + 4 * 3


def test_where_frames_may_be_dropped_the_newest_wait_and_the_others_are_counted():
    taken = []
    with readers_of(frames(100, taken=taken), drops=True) as reading:
        wait_for(lambda: len(taken) == 100)
        time.sleep(0.05)
        batches = list(reading)

    assert [number for batch in batches for number in numbers(batch)] == [96, 97, 98, 99]
    assert reading.dropped == [96]


def test_a_gap_is_never_dropped():
    class Flapping:
        live = drops = True

        def frames(self, halted):
            yield from frames(20)
            yield Gap(5.0, None, "gone", 0)
            yield from frames(20)

    with FrameReaders([Flapping()], prepare=lambda frame: frame.index, batch=4) as reading:
        wait_for(lambda: reading.dropped[0] == 36)
        things = [thing for batch in reading for _, thing in batch]

    assert [type(thing) for thing in things] == [Gap, Read, Read, Read, Read, Ended]


def test_a_slow_source_is_not_waited_for_to_fill_a_batch():
    gate = threading.Semaphore(1)

    class Gate:
        def wait(self, timeout):
            gate.acquire(timeout=timeout)

    with readers_of(frames(3, gate=Gate())) as reading:
        batches = iter(reading)
        for number in range(3):
            assert numbers(next(batches)) == [number]
            gate.release()


def test_sources_take_turns_however_quick_one_of_them_is():
    quick, slow = [], []
    with readers_of(frames(1000, taken=quick), frames(1000, taken=slow)) as reading:
        wait_for(lambda: len(quick) > 8 and len(slow) > 8)
        batch = next(iter(reading))

    assert [source for source, _ in batch] == [0, 1, 0, 1]


def test_the_end_of_one_source_is_not_that_of_the_others():
    with readers_of(frames(2, broken=True), frames(30)) as reading:
        things = [one for batch in reading for one in batch]

    assert [thing.item for source, thing in things if source == 1 and isinstance(thing, Read)] == list(range(30))
    ends = {source: thing.error for source, thing in things if isinstance(thing, Ended)}
    assert isinstance(ends[0], OSError)
    assert ends[1] is None


@pytest.mark.parametrize("count", [0, 1, 11])
def test_an_error_comes_after_all_that_was_read(count):
    with readers_of(frames(count, broken=True)) as reading:
        batches = list(reading)

    assert [number for batch in batches for number in numbers(batch)] == list(range(count))
    assert str(ending(batches)) == "the cable is out"
    assert frame_readers() == []


def test_an_error_of_the_preparation_comes_too():
    def prepare(frame):
        if frame.index == 5:
            raise ValueError("what a frame")
        return frame.index

    with readers_of(frames(9), prepare=prepare) as reading:
        batches = list(reading)

    assert [number for batch in batches for number in numbers(batch)] == [0, 1, 2, 3, 4]
    assert str(ending(batches)) == "what a frame"


class Unclosable:
    """A source whose iterator cannot be closed, or which cannot be begun."""

    live = drops = False
    lag = 0.0

    def __init__(self, given, *, begins=True):
        self.given = given
        self.begins = begins

    def frames(self, halted):
        if not self.begins:
            raise OSError("it does not begin")
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.given)

    def close(self):
        raise OSError("it does not close")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Unclosable(frames(3)), "it does not close"),
        (Unclosable(frames(3, broken=True)), "the cable is out"),
        (Unclosable(frames(3), begins=False), "it does not begin"),
    ],
)
def test_a_source_that_cannot_be_closed_or_begun_ends_with_an_error(source, said):
    stop = threading.Event()
    guard = threading.Timer(10, stop.set)
    guard.start()
    with FrameReaders([source], prepare=lambda frame: frame.index, batch=4, stop=stop) as reading:
        batches = list(reading)
    guard.cancel()

    assert not stop.is_set(), "it hangs"
    assert str(ending(batches)) == said


def test_time_that_goes_back_is_an_error():
    backwards = [Frame(Image.new("RGB", (2, 2)), when, 0) for when in (1.0, 0.5)]
    with readers_of(backwards) as reading:
        batches = list(reading)

    assert isinstance(ending(batches), VideoError)


def test_leaving_early_ends_the_thread_and_closes_the_source():
    closed = threading.Event()

    def endless():
        try:
            yield from frames(10**9)
        finally:
            closed.set()

    with readers_of(endless()) as reading:
        next(iter(reading))

    assert closed.is_set()
    assert frame_readers() == []


def test_stop_ends_it_from_outside_even_while_no_frame_comes():
    stop = threading.Event()
    gate = threading.Event()
    threading.Timer(0.2, stop.set).start()

    with readers_of(frames(5, gate=gate), stop=stop) as reading:
        assert list(reading) == []
        gate.set()
    assert frame_readers() == []


def test_stop_leaves_what_has_not_been_looked_at():
    stop = threading.Event()
    seen = []
    with readers_of(frames(1000), stop=stop) as reading:
        for batch in reading:
            seen += numbers(batch)
            stop.set()

    assert seen == list(range(len(seen)))
    assert len(seen) <= 4
