"""Faults with videos that users of this field's tools reported, each rebuilt small; the name is the public thread."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from tests.security.field_bugs import FieldBugs
from tests.videos import grey, number_of, read, seen, turned, write_video
from vljepa.processing.video import frame_at, read_clip, read_frames

CAP = 1_000_000
BUGS = FieldBugs()
bug = BUGS.reported


def photo(size=(48, 32)):
    """Dark at the top left, red at the right."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, 0, size[0] // 2, size[1] // 2))
    image.paste("red", (size[0] - 8, 0, size[0], size[1]))
    return image


@bug("torchcodec #1084")
def sideways_frames(tmp_path):
    def corner(number, size):
        return photo(size)

    film = turned(write_video(tmp_path / "a.mp4", make=corner), tmp_path / "turned.mp4")
    image = next(read_frames(film, max_pixels=CAP)).image
    assert image.size == (48, 64)
    pixels = np.asarray(image.convert("L"), dtype=int)
    assert pixels[8, 40] < 60, "the dark corner is at the top right"
    assert pixels[56, 40] < 120, "and the red stripe at the bottom"


@bug("torchcodec #1170")
def hdr_is_read_as_sdr(tmp_path):
    def code(light):  # of PQ, for cd/m2
        power = (light / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375

    def film(transfer, codes):
        path = tmp_path / f"{transfer}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx265", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
            stream.options = {"crf": "4", "x265-params": "log-level=none"}
            coder = stream.codec_context
            coder.color_trc, coder.color_primaries, coder.colorspace = transfer, 9, 9
            for number, value in enumerate(codes):
                frame = av.VideoFrame(64, 48, "yuv420p10le")
                for plane, level in zip(frame.planes, (round(64 + 876 * value), 512, 512), strict=True):
                    plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return [seen(frame.image) for frame in read_frames(path, max_pixels=CAP)]

    black, grey_card, paper, sun = film(16, [0.0, code(0.18 * 203), code(203), code(4000)])
    assert black <= 1
    assert grey_card == pytest.approx(118, abs=6), "as a photo has it"
    assert 225 <= paper < 250, "and not 148, as the code value is"
    assert paper < sun
    black, grey_card, paper = film(18, [0.0, 0.38, 0.75])  # HLG, by ITU-R BT.2408
    assert black <= 1
    assert grey_card == pytest.approx(100, abs=6), "26 cd/m2"
    assert 225 <= paper < 250


@bug("decord PR #77", "DALI #4955")
def wrong_frames_of_a_variable_rate(tmp_path):
    times = [0.0, 0.1, 0.15, 0.4, 1.0, 1.05, 1.6]
    film = write_video(tmp_path / "phone.mp4", times=times)
    assert read(film) == list(enumerate(times))
    assert [number for number, _ in read(film, fps=5, end=1.6)] == [0, 2, 3, 3, 3, 4, 5, 5]
    for when, number in ((0.39, 2), (0.41, 3), (0.99, 3), (1.2, 5)):
        assert number_of(frame_at(film, when, fps=None, max_pixels=CAP)) in (number, number + 1)


@bug("lerobot #3513")
def an_index_past_the_last_frame(tmp_path):
    film = write_video(tmp_path / "a.mp4", count=20)
    [image] = read_clip(film, shares=[0.0], start=1.9999999, max_pixels=CAP)
    assert number_of(image) == 19
    images = read_clip(film, shares=[0.0, 0.5, 0.99999999], max_pixels=CAP)
    assert [number_of(image) for image in images] == [0, 10, 19]


@bug("torchcodec PR #1294")
def a_time_before_the_stream_s_start(tmp_path):
    film = write_video(tmp_path / "a.mkv", times=[0.066733 + number / 10 for number in range(10)])
    [image] = read_clip(film, shares=[0.0], start=0.0, max_pixels=CAP)
    assert number_of(image) == 0
    assert [number for number, _ in read(film)] == list(range(10))
    assert next(number for number, _ in read(film, fps=10)) == 0


@bug("xbmc PR #3645")
def frames_before_the_cut(tmp_path):
    content = bytearray(write_video(tmp_path / "a.mp4", count=100, gop=10, make=steps).read_bytes())
    movie, track = (int.from_bytes(content[(at := content.index(atom) + 16) : at + 4]) for atom in (b"mvhd", b"mdhd"))
    edit = content.index(b"elst") + 12
    content[edit : edit + 8] = round(2.4 * movie).to_bytes(4) + round(7.6 * track).to_bytes(4)
    (tmp_path / "cut.mp4").write_bytes(content)
    frames = list(read_frames(tmp_path / "cut.mp4", max_pixels=CAP))
    assert frames[0].time == pytest.approx(0, abs=0.11)
    assert step_of(frames[0].image) == pytest.approx(76, abs=1)
    assert step_of(frames[-1].image) == pytest.approx(99, abs=1)
    assert len(frames) == 24


def steps(number, size):
    """Up to 100 frames that can be told apart: 2 levels each."""
    return Image.new("RGB", size, (2 * number + 20,) * 3)


def step_of(image):
    return round((seen(image) - 20) / 2)


@bug("mlt #89")
def the_first_two_frames_are_lost(tmp_path):
    film = write_video(tmp_path / "a.mp4", count=20, b_frames=2, gop=20)
    assert [number for number, _ in read(film)] == list(range(20))
    assert read(film, count=3)[0] == (0, 0.0)


@bug("PyAV #1987")
def zeros_after_a_seek(tmp_path):
    path = tmp_path / "palette.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("msrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        for number in range(20):
            palette = np.zeros((256, 4), np.uint8)
            palette[:, 0] = 255
            palette[:, 1:] = np.arange(256)[:, None]
            frame = av.VideoFrame.from_ndarray((np.full((48, 64), grey(number), np.uint8), palette), format="pal8")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [number for number, _ in read(path)] == list(range(20))
    for number in (15, 3, 19):
        assert number_of(frame_at(path, number / 10, fps=None, max_pixels=CAP)) == number


@bug("webm without cues")
def no_duration_and_seek_to_zero(tmp_path):
    class Pipe(io.RawIOBase):
        content = b""

        def writable(self):
            return True

        def seekable(self):
            return False

        def write(self, data):
            self.content += bytes(data)
            return len(data)

    write_video(tmp_path / "a.mp4", count=20)
    pipe = Pipe()
    with av.open(pipe, "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 5
        for number in range(20):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (grey(number),) * 3))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    film = tmp_path / "live.webm"
    film.write_bytes(pipe.content)
    with av.open(str(film)) as container:
        assert not container.duration
    assert [number for number, _ in read(film)] == list(range(20))
    assert number_of(frame_at(film, 1.5, fps=None, max_pixels=CAP)) == 15
    assert [number_of(image) for image in read_clip(film, shares=[0.0, 0.5], max_pixels=CAP)] == [0, 10]


@pytest.mark.parametrize("thread", BUGS)
def test_a_fault_of_the_field(thread, tmp_path):
    BUGS.run(thread, tmp_path=tmp_path)
