"""The image of a segment is that of its time, however long the film is."""

import io
from functools import partial
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from tests.unit.inference.speaking import COLOURS
from tests.videos import write_video
from vljepa.inference.frame_sources import GivenFrames
from vljepa.inference.stream import stream
from vljepa.inference.stream_stats import StreamStats, Thumbnails

FPS, BITS, COUNT = 4, 10, 200
SCENES = ["red", "green", "blue", "red"]


def numbered(number, size):
    """The colour of the scene, below ten bars that are the number in black and white."""
    image = Image.new("RGB", size, COLOURS[SCENES[number * len(SCENES) // COUNT]])
    for bit in range(BITS):
        image.paste("white" if number >> bit & 1 else "black", (8 * bit, 0, 8 * bit + 8, 16))
    return image


def number_in(jpeg):
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    return sum(int(grey[8, 8 * bit + 4] > 128) << bit for bit in range(BITS))


@pytest.mark.parametrize("method", ["online", "offline"])
@pytest.mark.parametrize("kind", ["film", "folder"])
@pytest.mark.parametrize("again", [True, False])
def test_images_are_within_a_frame_of_their_time(speaker, tmp_path, monkeypatch, method, kind, again):
    """Of 200 frames 16 are kept at a time, as 512 are of a film of hours; `again` False is the control."""
    monkeypatch.setattr("vljepa.inference.channel.Thumbnails", partial(Thumbnails, limit=16))
    if not again:
        monkeypatch.setattr(GivenFrames, "image_at", lambda self, when: None)
    if kind == "film":
        source = write_video(tmp_path / "film.mp4", count=COUNT, fps=FPS, size=(80, 64), make=numbered, gop=40)
    else:
        source = tmp_path / "frames"
        source.mkdir()
        for number in range(COUNT):
            numbered(number, (80, 64)).save(source / f"{number}.png")
    stats = StreamStats(thumbnails=True)

    segments = list(stream(source, **speaker, method=method, stats=stats))

    assert [text for text, _ in groupby(segment.text for segment in segments)] == SCENES
    assert len(stats.images) == len(segments)
    off = [abs(number_in(jpeg) / FPS - segment.time) for segment, jpeg in zip(segments, stats.images, strict=True)]
    assert (max(off) < 0.5 / FPS) == again
