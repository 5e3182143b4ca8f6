import gc
import weakref

import pytest
from PIL import Image

from tests.videos import plain, read, read_until_it_breaks, turned, write_video
from vljepa.errors import VideoError
from vljepa.processing import video as module
from vljepa.processing.video import probe_video, read_frames
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
