import io
import itertools
import threading
import weakref

import numpy as np
import pytest
from PIL import Image

from tests.unit.inference.conftest import SELECTIVE
from tests.unit.inference.speaking import NAMES, image, story
from vljepa.errors import CheckpointError, ConfigError, VideoError
from vljepa.inference.stream import stream
from vljepa.inference.stream_stats import StreamStats
from vljepa.processing.video import Frame


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "vljepa-frame-reader"]


def collect(found, segments):
    for segment in found:
        segments.append(segment)


def spans(segments):
    return [(segment.start, segment.end, segment.text) for segment in segments]


@pytest.mark.parametrize("method", ["online", "offline"])
def test_it_speaks_once_per_meaning_and_covers_the_stream(speaker, method):
    segments = list(stream(story(), **speaker, method=method))

    assert [segment.text for segment in segments] == ["red", "green", "blue"]
    assert segments[0].start == 0
    assert [segment.start for segment in segments[1:]] == pytest.approx([5, 9], abs=0.5)
    assert all(one.end == other.start for one, other in itertools.pairwise(segments))
    assert segments[-1].end == pytest.approx(12, abs=0.25)
    assert all(segment.start <= segment.time <= segment.end for segment in segments)
    assert readers() == []


def test_a_frame_folder_is_read_at_the_decoders_own_rate(speaker, tmp_path):
    for frame in story([("red", 2), ("blue", 2)]):
        frame.image.save(tmp_path / f"{frame.index:03}.png")

    assert spans(stream(tmp_path, **speaker)) == spans(stream(story([("red", 2), ("blue", 2)]), **speaker))
    assert spans(stream(str(tmp_path), **speaker, fps=2.0))[-1][1] == pytest.approx(8, abs=0.5)


def test_a_segment_comes_as_soon_as_it_is_over(speaker):
    taken = 0

    def live():
        nonlocal taken
        for frame in story([("red", 5), ("green", 500)]):
            taken += 1
            yield frame

    first = next(stream(live(), **speaker))

    assert first.text == "red"
    assert taken <= 4 * (5 + 2) + 4 * 8  # the delay of a boundary, and what may be waiting


def test_a_fast_camera_is_thinned(speaker):
    stats = StreamStats()

    segments = list(stream(story(fps=29.97), **speaker, stats=stats))

    assert [segment.text for segment in segments] == ["red", "green", "blue"]
    assert 47 <= stats.frames <= 49


def test_a_clock_that_goes_back_is_an_error_and_not_silence(speaker):
    segments = []
    with pytest.raises(VideoError, match=r"a frame at 0\.0 s comes after one at 11\.75 s"):
        collect(stream(itertools.chain(story(), story()), **speaker), segments)

    assert [segment.text for segment in segments] == ["red", "green", "blue"]


def test_a_stream_that_starts_late_keeps_its_own_times(speaker):
    segments = list(stream(story(begin=1000.0), **speaker))

    assert segments[0].start == 1000
    assert segments[-1].end == pytest.approx(1012, abs=0.25)


def test_the_query_is_asked(speaker):
    [asked] = stream(story([("red", 3)]), **speaker, query="which colour is least here?")

    assert asked.text in ("green", "blue")


def test_memory_stays_flat_over_ten_thousand_frames(speaker):
    alive, most = 0, 0
    ready = {name: speaker["processor"].images([image(name)]) for name in NAMES}

    def prepared(images):
        nonlocal alive
        pixels = ready[NAMES[np.argmax(images[0].getpixel((0, 0)))]].clone()
        weakref.finalize(pixels, gone)
        alive += 1
        return pixels

    speaker["processor"].images = prepared

    def gone():
        nonlocal alive
        alive -= 1

    def long():
        nonlocal alive, most
        for number in range(10_000):
            shown = image(NAMES[number // 300 % 3])
            weakref.finalize(shown, gone)
            alive += 1
            most = max(most, alive)
            yield Frame(shown, number / 4, number)
            del shown

    seen = sum(1 for _ in stream(long(), **speaker, stats=StreamStats()))

    assert seen == 34
    assert most <= 16 + 8 + 8 + 4  # waiting, being looked at, just taken, and in hands
    assert alive == 0


@pytest.mark.parametrize("method", ["online", "offline"])
def test_a_source_that_breaks_gives_what_it_had_and_then_the_error(speaker, method):
    def broken():
        yield from story()
        raise OSError("the cable is out")

    segments = []
    with pytest.raises(OSError, match="the cable is out"):
        collect(stream(broken(), **speaker, method=method), segments)

    assert [segment.text for segment in segments] == ["red", "green", "blue"]
    assert readers() == []


def test_what_is_no_video_says_so(speaker, tmp_path):
    with pytest.raises(VideoError, match="there is no video"):
        list(stream(tmp_path / "none.mp4", **speaker))


@pytest.mark.parametrize("method", ["online", "offline"])
def test_an_empty_stream_has_no_segments(speaker, method):
    assert list(stream([], **speaker, method=method)) == []


def test_closing_it_early_ends_the_reader(speaker):
    found = stream(story([("red", 3), ("blue", 1e6)]), **speaker)
    next(found)
    assert len(readers()) == 1

    found.close()

    assert readers() == []


def test_the_callers_own_error_ends_the_reader(speaker):
    def careless():
        for _ in stream(story([("red", 3), ("blue", 1e6)]), **speaker):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        careless()
    assert readers() == []


@pytest.mark.parametrize("method", ["online", "offline"])
def test_stop_closes_the_open_segment_and_says_it(speaker, method):
    stop = threading.Event()

    def watched():
        for frame in story([("green", 3), ("red", 1e6)]):
            if frame.time > 20:
                stop.set()
            yield frame

    segments = list(stream(watched(), **speaker, method=method, stop=stop))

    assert [segment.text for segment in segments] == ["green", "red"]
    assert 15 < segments[-1].end <= 21
    assert readers() == []


def test_without_a_decoder_it_says_what_to_do_before_reading(speaker):
    speaker["model"].y_decoder = None

    with pytest.raises(CheckpointError, match="no Y-Decoder"):
        stream(itertools.count(), **speaker)


def test_settings_override_those_of_the_decoder(speaker):
    assert len(list(stream(story(), **speaker, threshold=100.0))) == 1
    assert len(list(stream(story(), **speaker, threshold=100.0, method="offline"))) == 1
    assert len(list(stream(story(), **speaker, method="offline", count=2))) == 2
    assert len(list(stream(story(), **speaker, method="offline", rate=0.5))) == 6
    hasty = [("red", 3), ("blue", 3)] * 10
    assert len(list(stream(story(hasty), **speaker))) == 20
    assert len(list(stream(story(hasty), **speaker, max_rate=0.1))) <= 1 + 6 + 1
    assert len(list(stream(story(hasty), **speaker, rate=0.05))) < 15


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"fps": 0.0}, "fps"),
        ({"threshold": -1.0}, "threshold"),
        ({"rate": 0.0}, "rate = 0.0 decodes nothing"),
        ({"count": 3}, "for the method offline"),
        ({"max_rate": 0.0}, "never decodes"),
        ({"method": "offline", "max_rate": 1.0}, "for the method online"),
        ({"method": "offline", "rate": 1.0, "threshold": 0.5}, "three ways"),
        ({"method": "offline", "rate": -1.0}, "rate = -1.0 decodes nothing"),
        ({"method": "offline", "count": 0}, "count = 0 decodes nothing"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_read(speaker, settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        stream(itertools.count(), **speaker, **settings)


def test_generation_options_reach_the_decoder(speaker):
    seen = {}
    generate = speaker["model"].generate

    def listen(embeddings, **options):
        seen.update(options)
        return generate(embeddings)

    speaker["model"].generate = listen

    list(stream(story(), **speaker, num_beams=3))
    assert seen == {"num_beams": 3, "shift": True, "entities": None, "candidates": 1}

    list(stream(story(), **speaker, query="what colour is it?"))
    assert seen["shift"] is False, "answers are no captions"


@pytest.mark.parametrize("method", ["online", "offline"])
def test_what_it_notes(speaker, method):
    stats = StreamStats(thumbnails=True)

    segments = list(stream(story(), **speaker, method=method, stats=stats))

    assert (stats.frames, stats.decodes, stats.duration) == (48, 3, 12.0)
    assert stats.threshold == SELECTIVE.threshold
    assert all(seconds > 0 for seconds in stats.seconds.values())
    assert stats.wall >= stats.seconds["encode"] + stats.seconds["predict"] + stats.seconds["decode"]
    points = stats.signal.points()
    above = [when for when, value in points if value > stats.threshold]
    assert all(any(abs(when - segment.start) <= 1 for segment in segments[1:]) for when in above)
    assert len(above) >= 2
    for segment in segments[1:]:
        around = [point for point in points if abs(point[0] - segment.start) <= 1.5]
        assert max(around, key=lambda point: point[1])[0] == segment.start
    assert len(stats.images) == len(segments)
    for segment, jpeg in zip(segments, stats.images, strict=True):
        image = np.asarray(Image.open(io.BytesIO(jpeg)))
        assert NAMES[image.reshape(-1, 3).mean(0).argmax()] == segment.text


def test_images_are_only_taken_when_asked_for(speaker):
    stats = StreamStats()

    list(stream(story(), **speaker, stats=stats))

    assert not stats.images
