"""Videos without a video format: folders of frames, and animated GIF and WebP."""

import numpy as np
import pytest
from PIL import Image

from tests.videos import plain, read, read_until_it_breaks
from vljepa.errors import VideoError
from vljepa.processing.image_sequence import frame_files, is_moving
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
def test_a_broken_image_in_a_folder_is_never_replaced(tmp_path, options):
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


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "PNG", "WEBP"])
def test_animations_of_every_kind_whatever_they_are_called(tmp_path, kind):
    scenes = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "moves.jpg"
    scenes[0].save(path, kind, save_all=True, append_images=scenes[1:], duration=[500, 1000, 500])
    scenes[0].save(tmp_path / "still", kind)

    frames = list(read_frames(path, max_pixels=10_000))

    assert is_moving(path)
    assert not is_moving(tmp_path / "still")
    assert [round(frame.time, 2) for frame in frames] == [0.0, 0.5, 1.5]
    for frame, scene in zip(frames, scenes, strict=True):
        assert abs(np.asarray(frame.image, dtype=int) - np.asarray(scene, dtype=int)).max() < 12
    assert probe_video(path).duration == pytest.approx(2.0)


def test_a_png_s_image_for_readers_without_animations_is_no_frame_of_it(tmp_path):
    hidden, *scenes = (Image.new("RGB", (8, 8), colour) for colour in ("black", "red", "blue"))
    hidden.save(tmp_path / "a.png", save_all=True, append_images=scenes, duration=500, default_image=True)
    hidden.save(tmp_path / "b.png", save_all=True, append_images=scenes[:1], duration=500, default_image=True)

    colours = [frame.image.getpixel((0, 0)) for frame in read_frames(tmp_path / "a.png", max_pixels=10_000)]

    assert colours == [(255, 0, 0), (0, 0, 255)]
    assert is_moving(tmp_path / "a.png")
    assert not is_moving(tmp_path / "b.png"), "one frame does not move"


def test_all_frames_are_laid_on_the_same_ground(tmp_path):
    """Or an animation would flicker: its second frame alone would be laid on white."""
    scenes = []
    for ink in ((255, 255, 255), (40, 40, 40)):
        scene = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        scene.paste((*ink, 255), (8, 8, 24, 24))
        scenes.append(scene)
    scenes[0].save(tmp_path / "a.webp", save_all=True, append_images=scenes[1:], duration=500, lossless=True)

    frames = [frame.image for frame in read_frames(tmp_path / "a.webp", max_pixels=10_000)]

    assert [frame.getpixel((0, 0)) for frame in frames] == [(0, 0, 0)] * 2
    assert [frame.getpixel((16, 16)) for frame in frames] == [(255, 255, 255), (40, 40, 40)]


def test_frames_of_a_folder_are_known_by_their_content(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "2", "JPEG")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "10.dat", "PNG")
    (tmp_path / "notes.txt").write_text("no frame")
    assert [file.name for file in frame_files(tmp_path)] == ["2", "10.dat"]
    assert len(list(read_frames(tmp_path, max_pixels=10_000))) == 2
