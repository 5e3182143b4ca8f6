"""Live and several sources in `stream` and `watch`: iterables that stand for cameras."""

import itertools
import threading
import time
from dataclasses import replace

import pytest

from tests.live import frame_readers
from tests.unit.inference.speaking import NAMES, image, story
from vljepa.configs import LiveOptions
from vljepa.errors import ConfigError, DataError, VideoError
from vljepa.inference.stream import stream
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.watch import watch
from vljepa.processing.video import Frame


@pytest.mark.parametrize("away", [False, True])
def test_stop_does_not_wait_for_a_source_that_hangs_or_is_away(speaker, away):
    """An iterable that blocks for ever, and an address where nobody answers."""
    stop, gate = threading.Event(), threading.Event()

    def hanging():
        yield from story([("red", 2.0)])
        gate.wait(60)

    source = "http://127.0.0.1:9/nobody" if away else hanging()
    patient = LiveOptions(first_wait=60.0, longest_wait=60.0)
    threading.Timer(0.5, stop.set).start()
    begin = time.monotonic()
    segments = list(stream(source, **speaker, live=patient, stop=stop))
    seconds = time.monotonic() - begin
    gate.set()

    assert seconds < 5
    assert [segment.text for segment in segments] == ([] if away else ["red"])


def real_time(scenes, *, fps=20.0, speed=1.0):
    begin = time.monotonic()
    for frame in story(scenes, fps=fps):
        time.sleep(max(0.0, begin + frame.time / speed - time.monotonic()))
        yield frame


def slow(speaker, seconds):
    encode = speaker["model"].encode_vision

    def encode_slowly(pixels):
        time.sleep(seconds * len(pixels))
        return encode(pixels)

    speaker["model"].encode_vision = encode_slowly


def test_a_slow_model_drops_the_oldest_frames_of_a_camera_and_none_of_a_file(speaker):
    slow(speaker, 0.02)
    live, given = StreamStats(), StreamStats()
    scenes = [("red", 10.0), ("green", 10.0)]
    list(stream(real_time(scenes, fps=4.0, speed=40.0), **speaker, live=LiveOptions(), stats=live))
    list(stream(real_time(scenes, fps=4.0, speed=40.0), **speaker, stats=given))

    assert live.dropped > 10
    assert live.dropped + live.frames == 80
    assert (given.dropped, given.frames) == (0, 80)


def test_captions_of_a_camera_have_the_time_on_the_wall_and_those_of_a_file_have_not(speaker):
    before = time.time()
    live = list(stream(real_time([("red", 1.0), ("blue", 1.5)]), **speaker, live=LiveOptions()))
    after = time.time()

    assert [segment.text for segment in live] == ["red", "blue"]
    assert before <= live[0].began.timestamp() <= live[1].ended.timestamp() <= after + 0.5
    assert live[0].ended == live[1].began
    for segment in live:
        wall = (segment.ended - segment.began).total_seconds()
        assert wall == pytest.approx(segment.end - segment.start, abs=0.75)
    assert all(segment.began is None for segment in stream(story(), **speaker))


def test_the_rate_follows_a_slow_model_and_says_so(speaker, monkeypatch):
    monkeypatch.setattr("vljepa.inference.pace._WINDOW", 0.4)
    slow(speaker, 0.1)
    stats, notices = StreamStats(), []
    scenes = [("red", 20.0)]
    frames = real_time(scenes, fps=40.0, speed=10.0)  # 40 slots a second, of which the model manages 10
    list(stream(frames, **speaker, live=LiveOptions(min_fps=0.5), stats=stats, notify=notices.append))

    assert [fps for _, fps in stats.rates][:2] == [2.0, 1.0]
    assert min(fps for _, fps in stats.rates) >= 0.5
    assert [notice.message.partition(":")[0] for notice in notices][:2] == [
        "looking at 2 frames per second",
        "looking at 1 frames per second",
    ]


def test_a_fixed_rate_stays(speaker, monkeypatch):
    monkeypatch.setattr("vljepa.inference.pace._WINDOW", 0.2)
    slow(speaker, 0.1)
    stats = StreamStats()
    list(stream(real_time([("red", 10.0)], speed=10.0), **speaker, live=LiveOptions(min_fps=4.0), stats=stats))

    assert stats.dropped > 0
    assert not stats.rates


def test_sources_share_batches_and_each_keeps_its_own_story(speaker):
    stats = {}
    found = list(watch([story(), story([("blue", 6), ("red", 6)])], **speaker, stats=stats))

    assert [segment.text for name, segment in found if name == "source 1"] == ["red", "green", "blue"]
    assert [segment.text for name, segment in found if name == "source 2"] == ["blue", "red"]
    assert {name: (one.frames, one.decodes) for name, one in stats.items()} == {
        "source 1": (48, 3),
        "source 2": (48, 2),
    }
    sizes = [size for *_, size in speaker["model"].modes]
    assert sum(sizes) == 96
    assert max(sizes) > 1
    assert frame_readers() == []


def test_one_source_that_fails_does_not_end_the_others(speaker):
    def broken():
        yield from story([("green", 2)])
        raise OSError("the cable is out")

    notices, found = [], []

    def watching():
        for one in watch({"door": broken(), "yard": story()}, **speaker, notify=notices.append):
            found.append(one)

    with pytest.raises(VideoError, match="1 of 2 sources failed: the cable is out"):
        watching()

    assert [segment.text for name, segment in found if name == "yard"] == ["red", "green", "blue"]
    assert [segment.text for name, segment in found if name == "door"] == ["green"]
    assert [(notice.source, notice.kind) for notice in notices] == [("door", "gone")]


def blind_to_white(speaker):
    """The embedding of a white image is not a number."""
    encode = speaker["model"].encode_vision

    def blind(pixels):
        vision = encode(pixels)
        white = vision.tokens_BND.min(-1, keepdim=True).values == 1
        return replace(vision, tokens_BND=vision.tokens_BND.masked_fill(white, float("nan")))

    speaker["model"].encode_vision = blind


@pytest.mark.parametrize("wrong", ["time", "embedding"])
def test_a_frame_that_makes_no_sense_ends_its_source_and_no_other(speaker, wrong):
    frames = list(story([("green", 2), ("blue", 2)]))
    said = "a frame at nan s"
    if wrong == "time":
        frames[8] = Frame(frames[8].image, float("nan"), 8)
    else:
        said = "the embedding at 2.0 s is not a number"
        frames[8] = Frame(image("white"), 2.0, 8)
        blind_to_white(speaker)
    found = []

    def watching():
        for one in watch({"door": frames, "yard": story()}, **speaker):
            found.append(one)

    with pytest.raises(VideoError, match=f"1 of 2 sources failed: {said}"):
        watching()

    assert [segment.text for name, segment in found if name == "yard"] == ["red", "green", "blue"]
    assert [segment.text for name, segment in found if name == "door"] == ["green"]


@pytest.mark.parametrize("others", [False, True])
def test_a_source_without_end_that_makes_no_sense_ends_and_is_read_no_more(speaker, others):
    closed, closed_before = [], []

    def endless():
        try:
            for number in itertools.count():
                yield Frame(image("white" if number == 8 else "green"), number / 4, number)
        finally:
            closed.append(True)

    blind_to_white(speaker)
    stop, stats = threading.Event(), {}
    guard = threading.Timer(20, stop.set)
    guard.start()
    sources = {"door": endless()} | ({"yard": real_time([("red", 8.0)], fps=4.0, speed=8.0)} if others else {})

    def watching():
        for name, _ in watch(sources, **speaker, stats=stats, stop=stop):
            closed_before.extend(closed if name == "yard" else [])

    with pytest.raises((DataError, VideoError), match=r"the embedding at 2\.0 s is not a number"):
        watching()
    guard.cancel()

    assert not stop.is_set(), "it does not end"
    assert stats["door"].frames == 9
    looked = sum(size for *_, size in speaker["model"].modes)
    assert looked <= 9 + 32 * others + 16  # no more of it than the batch in which it ended
    assert closed_before == [True] * others, "while the others go on it is closed, not read for nothing"
    assert closed


def test_a_quick_source_does_not_starve_a_slow_one(speaker):
    slow(speaker, 0.002)
    order = [name for name, _ in watch({"quick": story([("red", 3), ("blue", 3)] * 20), "other": story()}, **speaker)]

    assert order.index("other") < 4


def test_offline_and_nothing_are_refused(speaker):
    with pytest.raises(ConfigError, match="a live source has no end"):
        stream("rtsp://door/", **speaker, method="offline")
    with pytest.raises(ConfigError, match="no source"):
        watch([], **speaker)
    with pytest.raises(ConfigError, match="once only"):
        watch(["-", "-"], **speaker)
    with pytest.raises(ConfigError, match="min_fps = 9 is above fps = 4"):
        stream([], **speaker, live=LiveOptions(min_fps=9.0))
    with pytest.raises(VideoError, match="no address of a live source"):
        stream("concat://a|b", **speaker)


def test_one_name_twice_is_two_sources(speaker, tmp_path):
    for frame in story([("red", 2)]):
        frame.image.save(tmp_path / f"{frame.index:03}.png")

    names = {name for name, _ in watch([tmp_path, str(tmp_path)], **speaker)}

    assert names == {str(tmp_path), f"{tmp_path} (2)"}


def test_a_word_that_is_a_camera_may_be_a_folder_with_a_path(speaker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").mkdir()
    for frame in story([("red", 2)]):
        frame.image.save(tmp_path / "0" / f"{frame.index:03}.png")

    assert [segment.text for segment in stream("./0", **speaker)] == ["red"]


def test_frames_of_any_age_are_frames(speaker):
    """A live iterable whose times do not begin at 0."""
    late = (Frame(frame.image, frame.time + 5000.0, frame.index) for frame in story())
    found = list(stream(late, **speaker, live=LiveOptions(drop=False)))

    assert [segment.text for segment in found] == NAMES
    assert found[0].start == 5000.0


@pytest.mark.parametrize("method", ["two_window", "local_variance", "running_ward"])
@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_every_segment_of_any_method_ends_at_a_frame_that_is_known(speaker, method, window):
    config = speaker["model"].y_decoder.config
    config.selective = config.selective.model_copy(update={"method": method, "window": window, "threshold": 0.3})
    found = list(stream(story([("red", 6), ("green", 6), ("blue", 6)]), **speaker, live=LiveOptions(drop=False)))

    assert [segment.text for segment in found] == NAMES
    assert all(one.ended == other.began for one, other in itertools.pairwise(found))


def test_below_the_minimum_confidence_a_segment_has_no_text(speaker):
    choice = speaker["model"].y_decoder.config.choice
    speaker["model"].y_decoder.config.choice = choice.model_copy(update={"confidence": [0.0, 0.0, 0.0, 0.0, 0.0]})
    [low] = stream(story([("red", 2.0)]), **speaker, min_confidence=0.4)
    [high] = stream(story([("red", 2.0)]), **speaker, min_confidence=0.6)
    assert (low.text, high.text) == ("red", None)
    assert low.confidence == high.confidence == 0.5
    with pytest.raises(ConfigError, match="is not a probability"):
        list(watch({"a": story([("red", 2.0)])}, **speaker, min_confidence=1.5))
