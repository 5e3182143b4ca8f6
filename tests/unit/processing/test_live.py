"""Live sources through their losses, against a small server in a thread."""

import gc
import itertools
import os
import sys
import threading
import time
import traceback
import warnings

import av
import pytest

from tests.live import LiveServer
from tests.unit.processing.live_answers import SECRET, never, send_jpegs, serving, source_of, things
from tests.videos import grey, seen, write_sound
from vljepa.configs import LiveOptions, validate
from vljepa.errors import ConfigError
from vljepa.processing import live as module
from vljepa.processing.live import Gap
from vljepa.processing.video import Frame


def runs(frames, *, gaps):
    """Frames, so many gaps, and a frame after them; how many of the first frames are of now depends on the machine."""
    found = []
    for thing in frames:
        found.append(thing)
        if isinstance(thing, Frame) and sum(isinstance(one, Gap) for one in found) == gaps:
            break
    frames.close()
    kinds = [(kind, list(run)) for kind, run in itertools.groupby(found, key=type)]
    assert [kind for kind, _ in kinds] == [Frame, Gap, Frame]
    return [run for _, run in kinds]


def test_a_source_that_drops_is_tried_again_and_the_gap_is_told():
    def answer(handler, request):
        if request == 1:
            handler.send_error(503)
        else:
            send_jpegs(handler, range(8 * request, 8 * request + 8))

    with serving(answer) as address:
        before, (lost, vain, back), [after] = runs(source_of(address, retries=3).frames(never), gaps=3)

    assert lost.end is None
    assert (lost.attempts, vain.attempts, back.attempts) == (0, 1, 2)
    assert lost.start == before[-1].time
    assert back.end == after.time > lost.start
    newest = [grey(number) for number in range(8)][-len(before) :]
    assert [seen(one.image) for one in before] == pytest.approx(newest, abs=4)
    assert grey(16) - 4 <= seen(after.image) <= grey(23) + 4
    assert [one.index for one in [*before, after]] == list(range(len(before) + 1))
    assert all(one.time < other.time for one, other in itertools.pairwise([*before, after]))


def test_it_is_given_up_after_so_many_attempts_in_a_row():
    def answer(handler, request):
        if request == 0:
            send_jpegs(handler, range(6))
        else:
            handler.send_error(503)

    with serving(answer) as address:
        found, error = things(source_of(address, retries=4))

    assert [(kind, len(list(run))) for kind, run in itertools.groupby(found, key=type)][1:] == [(Gap, 4)]
    assert "is gone" in error.message
    assert "attempts to reach it again that were in vain: 4" in error.message
    assert SECRET not in "".join(traceback.format_exception(error))


def test_waits_grow_up_to_a_limit_and_are_not_alike(monkeypatch):
    waits = []
    monkeypatch.setattr(module, "_sleep", lambda seconds, halted: waits.append(seconds))
    source = source_of("http://127.0.0.1:9/x", first_wait=1.0, longest_wait=20.0, retries=40)

    _, error = things(source)

    assert "connection refused" in error.message
    assert len(waits) == 40
    for number, wait in enumerate(waits):
        longest = min(20.0, 2.0**number)
        assert longest / 2 <= wait <= longest
    assert len({round(wait, 3) for wait in waits[10:]}) > 10


@pytest.mark.parametrize(("code", "said"), [(401, "HTTP 401"), (403, "HTTP 403"), (404, "HTTP 404")])
def test_what_waiting_does_not_mend_is_said_at_once(code, said):
    with serving(lambda handler, request: handler.send_error(code)) as address:
        found, error = things(source_of(address))

    assert found == []
    assert said in error.message
    assert SECRET not in "".join(traceback.format_exception(error))


def test_once_it_has_worked_even_that_is_waited_for():
    def answer(handler, request):
        if request == 1:
            handler.send_error(404)
        else:
            send_jpegs(handler, range(6))

    with serving(answer) as address:
        _, gaps, _ = runs(source_of(address).frames(never), gaps=3)

    assert "HTTP 404" in gaps[1].reason


def test_one_that_comes_back_without_images_is_waited_for(tmp_path):
    sound = write_sound(tmp_path / "sound.ts").read_bytes()

    def answer(handler, request):
        if request == 1:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(sound)
        else:
            send_jpegs(handler, range(6))

    with serving(answer) as address:
        _, gaps, _ = runs(source_of(address).frames(never), gaps=3)

    assert "only sound" in gaps[1].reason


def test_one_that_hangs_counts_as_lost():
    with serving(lambda handler, request: send_jpegs(handler, range(6), hang=2.0)) as address:
        frames = source_of(address, timeout=0.3).frames(never)
        begin = time.monotonic()
        gap = next(thing for thing in frames if isinstance(thing, Gap))
        frames.close()

    assert gap.reason == "nothing came for 0.3 s"
    assert time.monotonic() - begin < 2


def left_behind():
    """Decoded frames and threads that are there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of torch's objects warn when they are looked at
        frames = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    return frames, len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(sys.platform != "linux", reason="threads of FFmpeg are counted in /proc")
@pytest.mark.parametrize("leaking", [False, True])
def test_a_connection_that_is_over_leaves_nothing_behind(monkeypatch, leaking):
    """And the control: a frame that is asked for its side data stays, and with it what it holds on to."""
    if leaking:
        monkeypatch.setattr("av.sidedata.sidedata.SideDataContainer", lambda frame: frame.side_data)
    gc.collect()
    gc.disable()
    try:
        with serving(lambda handler, request: send_jpegs(handler, range(4))) as address:
            frames = source_of(address).frames(never)
            back = (thing for thing in frames if isinstance(thing, Gap) and thing.end is not None)
            next(back)
            before = left_behind()
            for _ in range(8):
                next(back)
            after = left_behind()
            back.close()
            frames.close()
    finally:
        gc.enable()
        gc.collect()

    if leaking:
        assert after[0] >= before[0] + 8
    else:
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 2


@pytest.mark.parametrize("slow", [False, True])
def test_a_reader_that_falls_behind_the_source_knows_it(slow):
    with LiveServer(fps=20) as server:
        source = source_of(server.address("ts"))
        frames, lags = source.frames(never), []
        for _ in range(12):
            next(frames)
            lags.append(source.lag)
            time.sleep(0.15 if slow else 0.0)
        frames.close()

    if slow:
        assert lags[-1] > 0.6  # eleven times 0.1 s more than the frames are apart, and room for the machine
    else:
        assert min(lags[-6:]) < 0.3


def test_frames_above_the_cap_are_no_loss_but_an_error():
    with serving(lambda handler, request: send_jpegs(handler, range(3))) as address:
        found, error = things(source_of(address, cap=500))

    assert found == []
    assert "the cap is 500" in error.message
    assert SECRET not in str(error)


def test_only_frames_of_the_grid_become_images():
    with serving(lambda handler, request: send_jpegs(handler, range(40))) as address:
        found, _ = things(source_of(address, fps=10.0, retries=0))

    assert 5 <= len(found) <= 20  # of 40 in 1.2 s


def test_waiting_for_a_source_ends_when_asked():
    halted = threading.Event()
    threading.Timer(0.2, halted.set).start()
    begin = time.monotonic()
    found, error = things(source_of("http://127.0.0.1:9/x", first_wait=60.0, longest_wait=60.0), halted.is_set)

    assert [type(thing) for thing in found] == [Gap]
    assert error is None
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"retries": -1}, {"longest_wait": 0}, {"min_fps": 0}, {"source_fps": 0}, {"patience": 1}]
)
def test_options_outside_of_their_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        validate(LiveOptions, wrong, where="stream")
