import os

import pytest

from vljepa.errors import DataError, ImageError
from vljepa.inference.images import expand, media_type, walk
from vljepa.processing.image import open_image
from vljepa.processing.image_sequence import is_moving


@pytest.fixture
def folder(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", "deep/er/c.tiff", "[odd].gif"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_walk_passes_over_pipes(tmp_path):
    (tmp_path / "a.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "none.png")
    assert [file.name for file in walk(tmp_path).files] == ["a.png", "lost.png"], "a lost link is said later"


def test_walk_finds_damaged_images_by_their_ending_sorted(folder):
    names = [path.relative_to(folder).as_posix() for path in walk(folder).files]

    assert names == ["[odd].gif", "a.png", "b.JPG", "deep/er/c.tiff"]


def test_videos_of_mpeg_ts_are_told_from_type_script(tmp_path):
    for name, content in (("a.ts", b"\x47@"), ("code.ts", b"import x"), ("b.mts", b"\0\0"), ("empty.ts", b"")):
        (tmp_path / name).write_bytes(content)
    assert [path.name for path in walk(tmp_path, videos=True).files] == ["a.ts", "b.mts"]


def test_words_are_files_folders_and_globs_each_file_once(folder):
    words = [str(folder / "*.png"), str(folder / "notes.txt"), str(folder / "[odd].gif"), str(folder)]

    names = [path.name for path in expand(words).files]

    assert names == ["a.png", "notes.txt", "[odd].gif", "b.JPG", "c.tiff"]


def test_what_is_not_there(folder):
    with pytest.raises(ImageError, match="there is no image"):
        expand([str(folder / "none.png")])
    with pytest.raises(ImageError, match="there is no image"):
        expand([str(folder / "*.webp")])
    with pytest.raises(DataError, match="is not there"):
        walk(folder / "none")
    with pytest.raises(DataError, match="is a file"):
        walk(folder / "a.png")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        walk(folder / "empty")


def test_a_folder_that_cannot_be_read_is_not_passed_over(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"deep.*Permission denied"):
        walk(folder)


def test_what_is_passed_over_is_known(folder):
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    (folder / "photo.dng").write_bytes(b"II*\0")
    (folder / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isom")

    passed = [path.name for path in walk(folder).passed_over]
    assert passed == ["._a.png", "clip.mp4", "notes.txt", "photo.dng"]
    assert [path.name for path in walk(folder, videos=True).passed_over] == ["._a.png", "notes.txt", "photo.dng"]
    assert [path.name for path in expand([str(folder), str(folder / "notes.txt")]).passed_over] == passed[:2] + passed[
        3:
    ]


def test_a_folder_without_images_says_what_is_in_it(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(DataError, match=r"no images; passed over: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more"):
        walk(tmp_path)


def test_a_pipe_that_is_named_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert media_type(tmp_path / "pipe") is None
    assert not is_moving(tmp_path / "pipe.mp4")
    assert media_type(tmp_path / "pipe.png") == "image"
    for name in ("pipe", "pipe.png"):
        with pytest.raises(ImageError, match=r"not a regular file.*write it to a file"):
            open_image(tmp_path / name, max_pixels=1000)
