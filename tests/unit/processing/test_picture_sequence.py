"""Videos without a video format: folders of frames, and animated GIF and WebP."""

import pytest
from PIL import Image

from tests.videos import plain, read, read_until_it_breaks
from vljepa.errors import VideoError
from vljepa.processing.video import probe_video, read_clip, read_frames

CAP = 1_000_000


def test_frame_folders(tmp_path):
    for number in range(12):
        plain(number, (8, 8)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    assert read(tmp_path) == [(number, float(number)) for number in range(12)]
    assert read(tmp_path, fps=4)[:3] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert len(read(tmp_path, fps=4)) == 12
    assert read(tmp_path, fps=3, start=1, end=2) == [(3, 1.0), (4, 1.333), (5, 1.667)]
    assert read(tmp_path, count=3) == [(0, 0.0), (6, 6.0), (11, 11.0)]
    assert read(tmp_path, start=9.5) == [(10, 10.0), (11, 11.0)]
    info = probe_video(tmp_path)
    assert (info.duration, info.frame_count, info.fps, info.width) == (12.0, 12, 1.0, 8)
    assert len(read_clip(tmp_path, shares=[0.0, 0.99], max_pixels=CAP)) == 2


@pytest.mark.parametrize("options", [{}, {"fps": 2}, {"count": 4}])
def test_a_broken_picture_in_a_folder_is_never_replaced(tmp_path, options):
    for number in range(4):
        plain(number, (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    frames, error = read_until_it_breaks(tmp_path, **options)
    assert len(frames) == 3
    assert "unreadable: 1; the first:" in error
    assert "2.png" in error
    with pytest.raises(VideoError, match=r"2\.png"):
        read_clip(tmp_path, shares=[0.1, 0.6], max_pixels=CAP)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animations(tmp_path, kind):
    frames = [plain(number, (8, 6)) for number in range(4)]
    path = tmp_path / f"moving.{kind}"
    options = {"lossless": True} if kind == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 300, 50, 200], **options)
    assert read(path) == [(0, 0.0), (1, 0.1), (2, 0.4), (3, 0.45)]
    assert read(path, fps=4) == [(0, 0.0), (1, 0.25), (3, 0.5)]
    assert read(path, count=2) == [(0, 0.0), (3, 0.45)]
    assert read(path, start=0.4) == [(2, 0.4), (3, 0.45)]
    info = probe_video(path)
    assert (info.frame_count, info.width, info.height) == (4, 8, 6)
    assert info.duration == pytest.approx(0.65)
    assert len(read_clip(path, shares=[0.1, 0.9], max_pixels=CAP)) == 2
    with pytest.raises(VideoError, match="the cap is 40"):
        list(read_frames(path, max_pixels=40))


def test_an_animation_that_asks_for_no_time_blinks_as_in_browsers(tmp_path):
    frames = [plain(number, (8, 6)) for number in range(3)]
    frames[0].save(tmp_path / "fast.gif", save_all=True, append_images=frames[1:], duration=0)
    assert read(tmp_path / "fast.gif") == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_an_animation_that_is_cut_short(tmp_path):
    frames = [Image.effect_noise((64, 64), 100 + number) for number in range(6)]
    path = tmp_path / "cut.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "not a readable animation" in str(read_until_it_breaks(path)[1])
    path = tmp_path / "cut.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read_frames_, error = read_until_it_breaks(path)
    assert 2 <= len(read_frames_) <= 4
    assert "breaks off" in error
