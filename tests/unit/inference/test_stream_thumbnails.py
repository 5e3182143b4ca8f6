"""The picture of a segment is that of its time, however long the film is."""

import io
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from tests.unit.inference.speaking import COLOURS
from tests.videos import write_video
from vljepa.inference.stream import stream
from vljepa.inference.stream_stats import StreamStats

FPS, BITS = 4, 10
SCENES = ["red", "green", "blue", "red"]


def numbered(number, size):
    """The colour of the scene, below ten bars that are the number in black and white."""
    image = Image.new("RGB", size, COLOURS[SCENES[number * len(SCENES) // 800]])
    for bit in range(BITS):
        image.paste("white" if number >> bit & 1 else "black", (8 * bit, 0, 8 * bit + 8, 16))
    return image


def number_in(jpeg):
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    return sum(int(grey[8, 8 * bit + 4] > 128) << bit for bit in range(BITS))


@pytest.mark.parametrize("method", ["online", "offline"])
@pytest.mark.parametrize("kind", ["film", "folder"])
def test_pictures_are_within_a_frame_of_their_time(speaker, tmp_path, method, kind):
    if kind == "film":
        source = write_video(tmp_path / "film.mp4", count=800, fps=FPS, size=(80, 64), make=numbered, gop=40)
    else:
        source = tmp_path / "frames"
        source.mkdir()
        for number in range(800):
            numbered(number, (80, 64)).save(source / f"{number}.png")
    stats = StreamStats(thumbnails=True)

    segments = list(stream(source, **speaker, method=method, stats=stats))

    assert [text for text, _ in groupby(segment.text for segment in segments)] == SCENES
    assert len(stats.pictures) == len(segments)
    for segment, jpeg in zip(segments, stats.pictures, strict=True):
        assert abs(number_in(jpeg) / FPS - segment.time) <= 1 / FPS
