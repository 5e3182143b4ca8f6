"""Small real video files, written with PyAV: frame number n has the grey value `grey(n)`, so that tests can tell it."""

import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from vljepa.errors import VideoError
from vljepa.processing.video import read_frames

MATRIX_OF_90 = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
"""What a phone that is held upright writes: turn by 90 degrees, clockwise."""


def grey(number):
    return 20 + 7 * number % 210


def seen(image):
    """Grey value in the middle of an image."""
    return int(np.asarray(image.convert("L"))[image.height // 3, image.width // 3])


def number_of(image):
    """Which frame an image is; -1 for none of the first thirty."""
    found = [number for number in range(30) if abs(grey(number) - seen(image)) <= 3]
    return found[0] if found else -1


def plain(number, size):
    return Image.new("RGB", size, (grey(number),) * 3)


def read(path, **options):
    """(frame number, time) of each frame."""
    return [(number_of(one.image), round(one.time, 3)) for one in read_frames(path, max_pixels=1_000_000, **options)]


def read_until_it_breaks(path, **options):
    frames, error = [], None
    try:
        for one in read_frames(path, max_pixels=1_000_000, **options):
            frames.append(one.time)
    except VideoError as caught:
        error = str(caught)
    return frames, error


def write_video(
    path, *, times=None, count=20, fps=10, size=(64, 48), codec="libx264", gop=5, make=plain, sound=0, b_frames=0
):
    """A video of `count` frames at `fps`, or of one frame at each of `times` (seconds)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        stream.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "12"}
        tone = _add_sound(container) if sound else None
        for number, time in enumerate(times or [number / fps for number in range(count)]):
            frame = av.VideoFrame.from_image(make(number, size))
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            _write_sound(container, tone, sound)
    return path


def write_sound(path, seconds=1):
    with av.open(str(path), "w") as container:
        _write_sound(container, _add_sound(container), seconds)
    return path


def turned(path, out, matrix=MATRIX_OF_90):
    """Copy of an MP4 with another display matrix."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    at += 40 + (12 if content[at] == 1 else 0)  # version 1 has longer times
    struct.pack_into(">9i", content, at, *matrix)
    out.write_bytes(content)
    return out


def _add_sound(container):
    return container.add_stream("aac", rate=16000, layout="mono")


def _write_sound(container, stream, seconds):
    for number in range(int(seconds * 16000 / 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 1024 * number
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
