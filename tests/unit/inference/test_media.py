import os

import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.errors import DataError
from vljepa.inference.media import find_media


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
