import gc
import os
import sys
import weakref
from pathlib import Path

import pytest
from PIL import Image

from tests.videos import grey, number_of, plain, read, read_until_it_breaks, turned, write_sound, write_video
from vljepa.errors import VideoError
from vljepa.processing import video as module
from vljepa.processing.video import probe_video, read_clip, read_frames, sliding_windows
from vljepa.processing.video_file import VideoFile

CAP = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def ten(folder):
    """Two seconds at 10 fps, a key frame every half second."""
    return write_video(folder / "ten.mp4")


@pytest.fixture(scope="module")
def noise(folder):
    """Three seconds at 10 fps whose data is spread evenly over the file, its index in front."""
    return write_video(
        folder / "noise.mp4", count=30, size=(96, 96), make=lambda _, size: Image.effect_noise(size, 200).convert("RGB")
    )


FORMATS = [
    ("mp4", "libx264"), ("mp4", "mpeg4"), ("mov", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"),
    ("avi", "mpeg4"), ("ts", "libx264"), ("flv", "libx264"), ("wmv", "wmv2"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "codec"), FORMATS)
def test_every_way_of_sampling_in_every_format(tmp_path, ending, codec):
    path = write_video(tmp_path / f"v.{ending}", codec=codec, b_frames=2 * (codec == "libx264"))
    assert read(path) == [(number, number / 10) for number in range(20)]
    assert read(path, start=0.95, end=1.3) == [(10, 1.0), (11, 1.1), (12, 1.2)]
    assert read(path, fps=4, start=1) == [(10, 1.0), (12, 1.25), (15, 1.5), (17, 1.75)]
    assert read(path, fps=20, start=1.8) == [(18, 1.8), (18, 1.85), (19, 1.9), (19, 1.95)]
    assert read(path, count=5) == [(0, 0.0), (5, 0.5), (10, 1.0), (14, 1.4), (19, 1.9)]
    assert read(path, count=2, start=0.5, end=1.0) == [(5, 0.5), (9, 0.9)]
    assert read(path, count=1) == [(9, 0.9)]
    assert [one.index for one in read_frames(path, count=3, max_pixels=CAP)] == [0, 1, 2]
    info = probe_video(path)
    assert (info.fps, info.width, info.height) == (10.0, 64, 48)
    assert info.duration == pytest.approx(2.0, abs=0.21), "FLV counts from before the first frame"


def test_more_frames_than_there_are_repeat(ten):
    assert read(ten, count=4, end=0.2) == [(0, 0.0), (0, 0.0), (1, 0.1), (1, 0.1)]


def test_times_are_the_file_s_own(tmp_path):
    """Frame number over frame rate would be wrong by seconds here."""
    path = write_video(tmp_path / "variable.mp4", times=[0, 0.1, 0.2, 2.0, 2.1, 5.0])
    assert read(path) == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 2.0), (4, 2.1), (5, 5.0)]
    assert read(path, fps=1) == [(0, 0.0), (2, 1.0), (3, 2.0), (4, 3.0), (4, 4.0), (5, 5.0)]
    assert probe_video(path).fps == pytest.approx(6 / 5.1, rel=0.01)


def corners(number, size):
    image = Image.new("RGB", size)
    image.paste((200, 40, 40), (0, 0, size[0] // 2, size[1] // 2))
    image.paste((40, 200, 40), (size[0] // 2, 0, size[0], size[1] // 2))
    image.paste((40, 40, 200), (0, size[1] // 2, size[0] // 2, size[1]))
    return image


def colours(image):
    """Colour of the four corners, row by row."""
    width, height = image.size
    spots = [(x, y) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join(
        "rgb"[max(range(3), key=image.getpixel(spot).__getitem__)] if max(image.getpixel(spot)) > 100 else "."
        for spot in spots
    )


ONE = 1 << 16
MATRICES = {
    "as it is": ((ONE, 0, 0, ONE), "rgb.", False),
    "quarter": ((0, ONE, -ONE, 0), "br.g", True),
    "half": ((-ONE, 0, 0, -ONE), ".bgr", False),
    "three quarters": ((0, -ONE, ONE, 0), "g.rb", True),
    "mirrored": ((-ONE, 0, 0, ONE), "gr.b", False),
    "upside down": ((ONE, 0, 0, -ONE), "b.rg", False),
    "transposed": ((0, ONE, ONE, 0), "rbg.", True),
    "transversed": ((0, -ONE, -ONE, 0), ".gbr", True),
}


@pytest.mark.parametrize(("matrix", "expected", "on_its_side"), MATRICES.values(), ids=MATRICES)
def test_frames_are_upright(tmp_path, matrix, expected, on_its_side):
    a, b, c, d = matrix
    path = write_video(tmp_path / "v.mp4", count=3, make=corners)
    path = turned(path, tmp_path / "turned.mp4", (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    image = next(read_frames(path, max_pixels=CAP)).image
    assert colours(image) == expected
    size = (48, 64) if on_its_side else (64, 48)
    assert image.size == (probe_video(path).width, probe_video(path).height) == size


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (17, 2), (256, 3)])
def test_odd_sizes(tmp_path, size):
    path = write_video(tmp_path / "odd.mkv", codec="ffv1", count=3, size=size)
    assert [one.image.size for one in read_frames(path, max_pixels=CAP)] == [size] * 3
    assert [number for number, _ in read(path)] == [0, 1, 2]


def test_wide_pixels_become_square(tmp_path):
    import av

    with av.open(str(tmp_path / "wide.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for packet in (*stream.encode(av.VideoFrame.from_image(plain(3, (64, 48)))), *stream.encode()):
            container.mux(packet)
    (frame,) = read_frames(tmp_path / "wide.mkv", max_pixels=CAP)
    assert frame.image.size == (128, 48)
    with pytest.raises(VideoError, match="frames of 128 x 48 pixels, the cap is 4,000"):
        list(read_frames(tmp_path / "wide.mkv", max_pixels=4000))


def test_only_what_is_wanted_is_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", count=300, gop=10)
    decoded = []
    original = VideoFile._shot
    monkeypatch.setattr(VideoFile, "_shot", lambda *arguments: (decoded.append(1), original(*arguments))[1])

    def cost(**options):
        decoded.clear()
        list(read_frames(path, max_pixels=CAP, **options))
        return len(decoded)

    assert cost() == 300  # the control
    assert cost(count=4) < 60
    assert cost(fps=0.2) < 60
    assert cost(start=20, end=20.5) < 25
    assert cost(fps=10) == 300, "without a key frame in between there is nothing to skip"


def test_images_are_made_only_of_wanted_frames(ten, monkeypatch):
    made = []
    original = module.VideoFile.shots

    def shots(self, start):
        for shot in original(self, start):
            load = shot.load
            object.__setattr__(shot, "load", lambda load=load: (made.append(1), load())[1])
            yield shot

    monkeypatch.setattr(module.VideoFile, "shots", shots)
    read(ten, fps=1)
    assert len(made) == 2
    made.clear()
    read(ten, fps=40, end=0.2)
    assert len(made) == 2, "a frame that stays is made once"


def test_memory_is_flat(tmp_path):
    """Of the frames that were given out, none is held by the reader."""
    import av

    path = write_video(tmp_path / "long.mp4", count=200, size=(16, 16))
    gc.collect()
    gc.disable()  # what only the collector frees piles up: to it, a decoded frame is a small object
    try:
        frames = read_frames(path, fps=10, max_pixels=CAP)
        given = [weakref.ref(next(frames).image) for _ in range(100)]
        assert sum(image() is not None for image in given) <= 2, "the newest, and the one before"
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) <= 5
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                assert frame.side_data is not None
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) > 100, "the control"
    finally:
        gc.enable()


@pytest.mark.parametrize("options", [{}, {"fps": 10}, {"count": 30}])
def test_a_file_that_is_cut_short_gives_its_frames_and_then_says_so(tmp_path, noise, options):
    path = tmp_path / "cut.mkv"
    whole = write_video(
        tmp_path / "whole.mkv",
        count=30,
        sound=3,
        size=(96, 96),
        make=lambda _, size: Image.effect_noise(size, 200).convert("RGB"),
    )
    assert read_until_it_breaks(whole, **options)[1] is None
    path.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    frames, error = read_until_it_breaks(path, **options)
    assert 10 <= len(set(frames)) < 25
    assert "breaks off after 1." in error
    assert "of 3.00 s" in error


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
