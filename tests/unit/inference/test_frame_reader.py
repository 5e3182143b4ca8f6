import threading
import time

import pytest
from PIL import Image

from vljepa.inference.frame_reader import FrameReader
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


def reader_of(source, *, batch=4, stop=None, prepare=lambda frame: frame.index):
    return FrameReader(source, prepare=prepare, batch=batch, stop=stop)


def collect(reader, seen):
    with reader:
        for batch in reader:
            seen += batch


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "vljepa-frame-reader"]


def test_every_frame_comes_once_in_order_and_in_batches():
    with reader_of(frames(50)) as reader:
        batches = list(reader)

    assert [number for batch in batches for number in batch] == list(range(50))
    assert all(1 <= len(batch) <= 4 for batch in batches)
    assert reader.seconds > 0
    assert readers() == []


def test_it_reads_while_the_consumer_works_but_never_far_ahead():
    taken = []
    with reader_of(frames(100, taken=taken), batch=4) as reader:
        batches = iter(reader)
        seen = len(next(batches))
        deadline = time.monotonic() + 30
        while len(taken) < seen + 8 and time.monotonic() < deadline:
            time.sleep(0.01)

        ahead = len(taken) - seen

        assert 8 <= ahead <= 9  # two batches in the queue, one frame in the thread's hand
    assert len(taken) <= seen + 4 * 3


def test_a_slow_source_is_not_waited_for_to_fill_a_batch():
    gate = threading.Semaphore(1)

    class Gate:
        def wait(self, timeout):
            gate.acquire(timeout=timeout)

    with reader_of(frames(3, gate=Gate())) as reader:
        batches = iter(reader)
        for number in range(3):
            assert next(batches) == [number]
            gate.release()


@pytest.mark.parametrize("count", [0, 1, 11])
def test_an_error_comes_after_all_that_was_read(count):
    seen = []
    with pytest.raises(OSError, match="the cable is out"):
        collect(reader_of(frames(count, broken=True)), seen)

    assert seen == list(range(count))
    assert readers() == []


def test_an_error_of_the_preparation_comes_too():
    def prepare(frame):
        if frame.index == 5:
            raise ValueError("what a frame")
        return frame.index

    seen = []
    with pytest.raises(ValueError, match="what a frame"):
        collect(reader_of(frames(9), prepare=prepare), seen)

    assert seen == [0, 1, 2, 3, 4]


def test_leaving_early_ends_the_thread_and_closes_the_source():
    closed = threading.Event()

    def endless():
        try:
            yield from frames(10**9)
        finally:
            closed.set()

    with reader_of(endless()) as reader:
        next(iter(reader))

    assert closed.is_set()
    assert readers() == []


def test_stop_ends_it_from_outside_even_while_no_frame_comes():
    stop = threading.Event()
    gate = threading.Event()
    threading.Timer(0.2, stop.set).start()

    with reader_of(frames(5, gate=gate), stop=stop) as reader:
        assert list(reader) == []
        gate.set()
    assert readers() == []


def test_stop_leaves_what_has_not_been_looked_at():
    stop = threading.Event()
    seen = []
    with reader_of(frames(1000), stop=stop) as reader:
        for batch in reader:
            seen += batch
            stop.set()

    assert seen == list(range(len(seen)))
    assert len(seen) <= 4
