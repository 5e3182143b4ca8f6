import os

import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.errors import DataError
from vljepa.inference import images
from vljepa.inference.media import KnownFile, find_media


@pytest.fixture
def folder(tmp_path, animation):
    """Folder mixed/ with images and videos, and other/ beside it; the videos and a.png are empty files."""
    animation("mixed/moves.gif", ("red", 1), ("blue", 1))
    Image.new("RGB", (4, 4), "red").save(tmp_path / "mixed" / "still.gif")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "mixed" / "still.webp")
    moving = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    moving[0].save(tmp_path / "mixed" / "moves.webp", save_all=True, append_images=moving[1:])
    for name in ("mixed/a.png", "mixed/deep/b.MP4", "mixed/notes.txt", "other/c.mkv", "other/no_ending"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(files, media):
    return [file.relative_to(media.folder).as_posix() for file in files]


def test_a_folder_of_images_and_videos(folder):
    media = find_media(folder / "mixed")

    assert media.folder == folder / "mixed"
    assert names(media.images, media) == ["a.png", "still.gif", "still.webp"]
    assert names(media.videos, media) == ["deep/b.MP4", "moves.gif", "moves.webp"]
    assert len(media) == 6
    assert names(media.others, media) == ["notes.txt"]


def test_files_folders_and_patterns_together_each_file_once(folder, monkeypatch):
    monkeypatch.chdir(folder)

    media = find_media(["mixed/deep", "other/*.mkv", "mixed/deep/b.MP4", "mixed/../other/c.mkv"])

    assert media.folder == folder
    assert names(media.videos, media) == ["mixed/deep/b.MP4", "other/c.mkv"]
    assert media.images == []


def test_one_file_is_under_its_own_folder(folder):
    media = find_media([folder / "other" / "c.mkv"])

    assert media.folder == folder / "other"


def test_a_file_that_is_named_and_says_nothing_counts_as_an_image_which_then_says_what_is_wrong(folder):
    assert find_media([folder / "other" / "no_ending"]).images == [folder / "other" / "no_ending"]
    assert find_media([folder / "mixed" / "a.png"]).videos == []


def test_the_content_decides_and_not_the_ending(folder):
    (folder / "mixed" / "moves.gif").rename(folder / "other" / "moving.jpg")
    (folder / "mixed" / "still.gif").rename(folder / "other" / "photo")
    write_video(folder / "other" / "film.mkv").rename(folder / "other" / "film")
    media = find_media(folder / "other")

    assert names(media.videos, media) == ["c.mkv", "film", "moving.jpg"]
    assert names(media.images, media) == ["photo"]
    assert names(media.others, media) == ["no_ending"]


def test_a_folder_keeps_its_name_when_all_files_are_further_down(folder):
    (folder / "outer").mkdir()
    (folder / "mixed" / "deep").rename(folder / "outer" / "deep")

    assert find_media(folder / "outer").folder == folder / "outer"


def test_a_pattern_takes_images_and_videos_and_names_the_rest(folder):
    media = find_media([folder / "mixed" / "*", folder / "other" / "*"])

    assert names(media.images, media) == ["mixed/a.png", "mixed/still.gif", "mixed/still.webp"]
    assert names(media.videos, media) == ["mixed/moves.gif", "mixed/moves.webp", "other/c.mkv"]
    assert names(media.others, media) == ["mixed/notes.txt", "other/no_ending"]
    named = find_media([folder / "other" / "*", folder / "other" / "no_ending"])
    assert (names(named.images, named), named.others) == (["no_ending"], [])
    with pytest.raises(DataError, match=r"of the 1 files of .*notes.*none is an image or a video: .*notes.txt"):
        find_media(folder / "mixed" / "notes*")


def test_a_folder_whose_name_no_index_can_hold_is_refused_and_one_above_it_is_not(folder):
    bad = folder / os.fsdecode(b"caf\xe9")
    (folder / "other").rename(bad)

    with pytest.raises(DataError, match=r"caf\\udce9' is not UTF-8.*index a folder above it"):
        find_media(bad)
    above = find_media(folder)
    assert bad / "c.mkv" in above.videos


def test_a_link_to_a_folder_does_not_make_a_file_twice(folder):
    (folder / "link").symlink_to(folder / "other", target_is_directory=True)

    media = find_media([folder / "link" / "c.mkv", folder / "link", folder / "other"])

    assert names(media.videos, media) == ["c.mkv"]


def test_what_is_not_there(folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no image or video"):
        find_media([folder / "other", folder / "none.mp4"])
    with pytest.raises(DataError, match="no images or videos"):
        find_media(folder / "empty")
    with pytest.raises(DataError, match="no path to index"):
        find_media([])


def test_a_damaged_animation_counts_as_an_image_which_then_says_what_is_wrong(folder):
    broken = folder / "other" / "broken.gif"
    broken.write_bytes((folder / "mixed" / "moves.gif").read_bytes()[:20])

    assert find_media(broken).images == [broken]


def test_every_file_comes_with_its_size_and_time(folder):
    (folder / "mixed" / "lost.png").symlink_to(folder / "none.png")
    media = find_media(folder / "mixed")

    assert sorted(media.files) == sorted(map(str, [*media.images, *media.videos]))
    for path, file in media.files.items():
        there = os.path.exists(path)
        status = os.stat(path) if there else None
        assert (file.size, file.mtime) == ((status.st_size, status.st_mtime) if there else (0, 0.0))
    types = {os.path.basename(path): file.type for path, file in media.files.items()}
    assert types["moves.gif"] == types["moves.webp"] == "animation"
    assert (types["b.MP4"], types["still.gif"], types["lost.png"]) == ("video", "image", "image")
    assert not any(file.unchanged for file in media.files.values())


@pytest.fixture
def looks(monkeypatch):
    """Names of files that were opened, and of those whose size and time were asked for."""
    opened, asked = [], []
    read, stat = images.read_head, os.stat

    def count(path, **options):
        asked.append(os.path.basename(path))
        return stat(path, **options)

    monkeypatch.setattr(images, "read_head", lambda path: opened.append(os.path.basename(path)) or read(path))
    monkeypatch.setattr(os, "stat", count)
    return opened, asked


@pytest.mark.parametrize("of", ["mixed", "mixed/*"])
def test_a_known_file_that_is_unchanged_is_asked_for_its_time_once_and_never_opened(folder, looks, monkeypatch, of):
    monkeypatch.chdir(folder)
    before = find_media(of)
    known = {path: KnownFile(file.size, file.mtime, video=file.type != "image") for path, file in before.files.items()}
    touched, grown = folder / "mixed" / "still.gif", folder / "mixed" / "moves.webp"
    os.utime(touched, (1, 1))
    grown.write_bytes(grown.read_bytes() + b"\0")
    opened, asked = looks
    opened.clear()
    asked.clear()

    media = find_media(of, known=known)

    assert sorted(opened) == ["moves.webp", "notes.txt", "still.gif"]
    if of == "mixed":
        assert asked.count("a.png") == asked.count("moves.gif") == asked.count("still.gif") == 1
    assert (media.images, media.videos, media.others) == (before.images, before.videos, before.others)
    unchanged = {os.path.basename(path) for path, file in media.files.items() if file.unchanged}
    assert unchanged == {os.path.basename(path) for path in before.files} - {"moves.webp", "still.gif"}


def test_a_known_file_without_a_time_is_looked_at(folder, looks):
    still = folder / "mixed" / "still.gif"
    os.utime(still, (0, 0))

    media = find_media(still, known={str(still): KnownFile(still.stat().st_size, 0.0, video=True)})

    assert (media.images, looks[0]) == ([still], ["still.gif"])


def test_files_stand_beside_those_of_their_folder(folder):
    Image.new("RGB", (4, 4)).save(folder / "other" / "b.png")
    Image.new("RGB", (4, 4)).save(folder / "other" / "b-.png")
    (folder / "other" / "b").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "other" / "b" / "z.png")

    media = find_media(folder / "other")

    assert names(media.images, media) == ["b/z.png", "b-.png", "b.png"]
    assert media.images == sorted(media.images)
