"""A server in a process of its own that is followed by `stream`, killed and started again."""

import itertools
import threading
import time

import pytest

from tests.live import LiveServer, frame_readers
from tests.unit.inference.speaking import NAMES
from vljepa.configs import LiveOptions
from vljepa.errors import VideoError
from vljepa.inference.stream import stream
from vljepa.inference.stream_stats import StreamStats

# At a fixed rate: on a busy machine it would change, and say so in between.
PATIENT = LiveOptions(timeout=20.0, first_wait=0.05, longest_wait=0.1, retries=500, min_fps=4.0)


def shown_in_the_middle(server, segment):
    """What the server showed in the middle of a segment, by the wall-clock."""
    return NAMES[server.scene((segment.began.timestamp() + segment.ended.timestamp()) / 2)]


def whole_scenes(segments, server):
    """Those that tell one scene from its beginning to its end, more or less, on a machine that may have stood still."""
    lengths = [(one, (one.ended - one.began).total_seconds()) for one in segments]
    return [one for one, seconds in lengths if 0.5 * server.seconds < seconds < 1.4 * server.seconds]


def test_a_server_that_is_killed_in_mid_stream_costs_nothing_that_was_said(speaker):
    stop, stats, notices, before, after = threading.Event(), StreamStats(), [], [], []

    with LiveServer(seconds=1.25) as server:

        def notify(notice):
            notices.append(notice)
            if notice.kind == "lost":
                server.start()

        address = server.address("ts", user="me:geheim@")
        for segment in stream(address, **speaker, live=PATIENT, stats=stats, notify=notify, stop=stop):
            (after if notices else before).append(segment)
            if len(whole_scenes(after[1:], server)) == 2 or len(after) == 10:
                stop.set()
            elif len(whole_scenes(before[1:], server)) == 2 or len(before) == 10:
                server.kill()
        # The first segment of a connection begins anywhere in a scene, and the last one before the loss ends so.
        told = [whole_scenes(before[1:-1], server), whole_scenes(after[1:], server)]
        expected = [[shown_in_the_middle(server, segment) for segment in part] for part in told]

    # By the wall's clock segments tell what was there, before the loss and after it.
    assert [[segment.text for segment in part] for part in told] == expected
    assert min(len(part) for part in told) >= 1
    assert [notice.kind for notice in notices if notice.kind != "retry"] == ["lost", "back"]
    [lost, *_, back] = notices
    assert "geheim" not in str(notices)
    # What was open is said before anything is waited for; what comes after it is another segment.
    assert before[-1].end == pytest.approx(lost.time, abs=0.5)
    assert after[0].start == back.time >= before[-1].end
    for part in (before, after):
        assert all(one.end == other.start for one, other in itertools.pairwise(part))
    assert (stats.gap_count, list(stats.gaps)) == (1, [(back.since, back.time)])
    assert stats.gap_seconds == back.time - lost.time
    assert all(segment.began < segment.ended for segment in before + after)
    assert stats.live
    assert stats.latency.summary()["captions"] >= 2
    assert frame_readers() == []


def test_the_rate_follows_a_reader_that_falls_behind_though_nothing_is_dropped(speaker, monkeypatch):
    monkeypatch.setattr("vljepa.inference.pace._WINDOW", 0.5)
    prepare = speaker["processor"].images

    def prepare_slowly(images):
        time.sleep(0.5)  # of four frames per second it manages two
        return prepare(images)

    speaker["processor"].images = prepare_slowly
    stop, stats, notices = threading.Event(), StreamStats(), []

    def notify(notice):
        notices.append(notice)
        stop.set()

    guard = threading.Timer(30, stop.set)
    guard.start()
    with LiveServer() as server:
        list(stream(server.address(), **speaker, live=LiveOptions(), stats=stats, notify=notify, stop=stop))
    guard.cancel()

    assert [notice.kind for notice in notices] == ["rate"]
    assert notices[0].message.startswith("looking at 2 frames per second")
    assert stats.dropped == 0
    assert stats.highest_lag > 1


def test_a_source_that_stays_away_is_given_up_and_what_it_said_is_kept(speaker):
    segments, kinds = [], []
    with LiveServer(seconds=1.0) as server:
        found = stream(
            server.address(),
            **speaker,
            live=PATIENT.model_copy(update={"retries": 2}),
            notify=lambda notice: kinds.append(notice.kind),
        )

        def watching():
            for segment in found:
                segments.append(segment)
                server.kill()

        with pytest.raises(VideoError, match=r"is gone: .*attempts to reach it again that were in vain: 2"):
            watching()

    assert len(segments) >= 2
    assert kinds == ["lost", "retry", "gone"]


def test_one_that_is_not_there_yet_is_waited_for_without_a_gap(speaker):
    stop, stats, notices = threading.Event(), StreamStats(), []
    with LiveServer(seconds=1.0) as server:
        address = server.address("mjpeg")
        server.kill()

        def notify(notice):
            notices.append(notice)
            if len(notices) == 1:
                server.start()

        for _ in stream(address, **speaker, live=PATIENT, stats=stats, notify=notify, stop=stop):
            stop.set()

    assert {notice.kind for notice in notices[:-1]} == {"retry"}
    assert (notices[-1].kind, notices[-1].message) == ("back", "reached")
    assert stats.gap_count == 0
