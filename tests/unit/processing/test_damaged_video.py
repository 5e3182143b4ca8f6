"""Damaged and odd video files."""

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.processing.test_video import CAP, folder, noise, ten  # noqa: F401  (fixtures)
from tests.videos import grey, number_of, plain, read, read_until_it_breaks, write_sound, write_video
from vljepa.errors import VideoError
from vljepa.processing.video import probe_video, read_clip, read_frames, sliding_windows
from vljepa.processing.video_file import VideoFile


def test_of_a_file_that_is_cut_short_an_early_part_is_sound(tmp_path, noise):
    import av

    path = tmp_path / "index_first.mp4"
    with av.open(str(noise)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    assert len(read(path, fps=10, end=1.0)) == 10
    assert len(read_clip(path, shares=[0.1, 0.9], end=1.0, max_pixels=CAP)) == 2
    with pytest.raises(VideoError, match="breaks off"):
        read_clip(path, shares=[0.1, 0.9], max_pixels=CAP)


def test_sound_may_be_longer_than_the_image(tmp_path):
    for ending in ("mp4", "mkv"):
        path = write_video(tmp_path / f"v.{ending}", count=10, sound=4)
        assert read(path)[-1] == (9, 0.9)
        assert len(read_clip(path, shares=[0.0, 0.99], max_pixels=CAP)) == 2


def test_damaged_packets_are_passed_over_and_counted(ten, monkeypatch):
    """A decoder conceals most damage; here one packet cannot be decoded at all."""
    import av

    class Broken:
        size, pts, dts = 1, 0, 0

        def decode(self):
            raise av.error.InvalidDataError(1, "broken")

    class Container:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            return getattr(self.real, name)

        def demux(self, stream):
            for number, packet in enumerate(self.real.demux(stream)):
                if number == 10:
                    yield Broken()
                yield packet

    original = VideoFile._open

    def opened(self):
        original(self)
        self._container = Container(self._container)

    monkeypatch.setattr(VideoFile, "_open", opened)
    frames, error = read_until_it_breaks(ten)
    assert len(frames) == 20
    assert "damaged packets: 1" in error


def test_what_is_no_video(tmp_path, ten):
    write_sound(tmp_path / "sound.m4a")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello" * 100)
    (tmp_path / "head.mp4").write_bytes(ten.read_bytes()[:700])
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "nothing").mkdir()
    for name, message in {
        "sound.m4a": "only sound",
        "empty.mp4": "not a readable video",
        "text.mp4": "not a readable video",
        "head.mp4": "not a readable video",
        "photo.jpg": "in a format that is not read as a video",
        "pipe.mp4": "is not a file",
        "nothing": "has no frames",
        "missing.mp4": "there is no video",
        "a\0b.mp4": "cannot read",
        "n" * 300: "cannot read",
    }.items():
        for reader in (probe_video, lambda path: next(read_frames(path, max_pixels=CAP))):
            with pytest.raises(VideoError, match=message):
                reader(tmp_path / name)
    for name in ("https://example.org/a.mp4", "rtsp://camera/1", "/dev/null"):
        with pytest.raises(VideoError, match="is not a"):
            probe_video(name)


def test_a_video_without_frames(tmp_path):
    import av

    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoError, match=r"no frame of .* can be decoded|not a readable video"):
        read(tmp_path / "none.mkv")
    for options in ({"count": 3}, {"fps": 1}):
        with pytest.raises(VideoError):
            read(tmp_path / "none.mkv", **options)


def test_a_cover_image_is_no_moving_image(tmp_path):
    import av

    sound = write_sound(tmp_path / "sound.m4a")
    with av.open(str(sound)) as source, av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as song:
        tone = song.add_stream_from_template(source.streams.audio[0])
        cover = song.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        song.mux(cover.encode(av.VideoFrame.from_image(plain(1, (32, 32)))))
        song.mux(cover.encode())
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tone
                song.mux(packet)
    with av.open(str(tmp_path / "song.m4a")) as song:
        assert len(song.streams.video) == 1
    with pytest.raises(VideoError, match="only sound"):
        read(tmp_path / "song.m4a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps = 0"),
        ({"fps": float("nan")}, "fps = nan"),
        ({"fps": 1e9}, "fps"),
        ({"count": 0}, "count = 0"),
        ({"start": -1}, "start = -1"),
        ({"start": float("inf")}, "start = inf"),
        ({"start": 2, "end": 1}, "end = 1"),
        ({"end": float("nan")}, "end = nan"),
        ({"start": 7}, "no frame from 7 s to the end"),
        ({"start": 1e18, "fps": 1}, "no frame"),
        ({"start": 7, "count": 3}, "no frame"),
        ({"start": 1.91, "end": 1.95}, "no frame from 1.91 s to 1.95 s"),
    ],
)
def test_numbers_that_make_no_sense(ten, options, message):
    with pytest.raises(VideoError, match=message):
        list(read_frames(ten, max_pixels=CAP, **options))


def test_without_pyav_the_fix_is_named(ten, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"pip install \"av>=18,<19\""):
        read(ten)


def test_clips(ten):
    def clip(**options):
        return [number_of(image) for image in read_clip(ten, max_pixels=CAP, **options)]

    assert clip(shares=[0.125, 0.375, 0.625, 0.875]) == [2, 7, 12, 17]
    assert clip(shares=[0.0, 0.5], start=1.0) == [10, 15]
    assert clip(shares=[0.25, 0.75], start=0.4, end=0.8) == [5, 7]
    assert clip(shares=[0.999], end=1e9) == [19]
    with pytest.raises(VideoError, match="no frame from 2 s"):
        clip(shares=[0.5], start=2.0)


def test_the_example_clip_plays():
    clip = Path(__file__).parents[3] / "examples" / "clip.mp4"
    assert clip.stat().st_size < 400_000
    info = probe_video(clip)
    assert (info.duration, info.frame_count, info.width, info.height) == (24.0, 288, 256, 256)
    assert len(list(read_frames(clip, fps=4, max_pixels=CAP))) == 96


def test_windows(ten):
    def windows(**options):
        frames = read_frames(ten, fps=10, end=0.75, max_pixels=CAP)
        return [[number_of(one.image) for one in run] for run in sliding_windows(frames, **options)]

    assert windows(window=4, stride=2) == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert windows(window=3, stride=4) == [[0, 1, 2], [4, 5, 6]]
    assert windows(window=9, stride=1) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert windows(window=1, stride=5) == [[0], [5]]
    assert list(sliding_windows([], window=2, stride=1)) == []


def test_the_grey_of_frames_tells_them_apart():
    assert len({grey(number) for number in range(30)}) == 30
