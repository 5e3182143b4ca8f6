"""What else frames come as: PIL images, arrays of OpenCV, tensors; and what has no frames at all."""

import numpy as np
import pytest
import torch

from tests.unit.inference.speaking import COLOURS, NAMES, image, story
from vljepa.configs import LiveOptions
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.stream import stream
from vljepa.inference.watch import watch
from vljepa.processing.video import Frame


def spans(segments):
    return [(segment.start, segment.end, segment.text) for segment in segments]


def frames(make, scenes=(("red", 20), ("blue", 12))):
    return [make(colour) for colour, count in scenes for _ in range(count)]


MAKE = {
    "PIL": image,
    "array": lambda colour: np.asarray(image(colour)),
    "array of OpenCV, turned": lambda colour: np.asarray(image(colour))[:, :, ::-1][:, :, ::-1],
    "tensor": lambda colour: torch.from_numpy(np.asarray(image(colour)).copy()).permute(2, 0, 1),
    "floats": lambda colour: np.asarray(image(colour)) / 255,
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("method", ["online", "offline"])
def test_images_without_times_are_as_many_per_second_as_are_looked_at(speaker, make, method):
    expected = spans(stream(story([("red", 5), ("blue", 3)]), **speaker, method=method))
    assert spans(stream(frames(make), **speaker, method=method)) == expected


def test_a_batch_is_a_stream(speaker):
    batch = np.stack(frames(MAKE["array"]))
    assert [segment.text for segment in stream(batch, **speaker)] == ["red", "blue"]
    assert [segment.text for segment in stream(torch.from_numpy(batch), **speaker)] == ["red", "blue"]


def test_frames_may_hold_arrays(speaker):
    given = [Frame(np.asarray(one.image), one.time, one.index) for one in story()]
    assert spans(stream(given, **speaker)) == spans(stream(story(), **speaker))


def test_files_are_images_too(speaker, tmp_path):
    for colour in COLOURS:
        image(colour).save(tmp_path / f"{colour}.png")
    paths = [tmp_path / f"{colour}.png" for colour in NAMES for _ in range(16)]
    assert [segment.text for segment in stream(paths, **speaker)] == NAMES


def test_live_images_have_the_time_of_their_arrival(speaker, monkeypatch):
    clock = iter(100 + number / 4 for number in range(1000))
    monkeypatch.setattr("vljepa.inference.frame_sources.time.monotonic", lambda: next(clock))
    from vljepa.inference.frame_sources import GivenFrames

    live = GivenFrames(frames(image), live=True)
    times = [frame.time for frame in live.frames(lambda: False)]
    assert times[0] == 0
    assert np.diff(times).min() > 0


@pytest.mark.parametrize("source", [image("red"), np.zeros((4, 4, 3), np.uint8), b"bytes", None, 3, {"a": 1}])
def test_what_has_no_frames(speaker, source):
    with pytest.raises(ConfigError, match=r"the source is .*which has no frames.*list of frames or images"):
        list(stream(source, **speaker))
    with pytest.raises(ConfigError, match="which has no frames"):
        list(watch({"a": source}, **speaker))


def test_what_is_no_frame(speaker):
    with pytest.raises(ImageError, match="3 is not an image but of type int"):
        list(stream([image("red"), 3], **speaker))
    with pytest.raises(ImageError, match="None is not an image"):  # what OpenCV gives at the end
        list(stream([np.asarray(image("red")), None], **speaker, live=LiveOptions()))


def test_one_path_is_no_list_of_sources(speaker):
    with pytest.raises(ConfigError, match=r"sources is 'film.mp4', one source.*\['film.mp4'\]"):
        list(watch("film.mp4", **speaker))


def test_a_question_that_is_none(speaker):
    with pytest.raises(ConfigError, match="the query is 3, of type int"):
        list(stream(story(), **speaker, query=3))
