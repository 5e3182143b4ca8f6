import base64
import io
import os
import threading

import pytest
from PIL import Image

from tests.pages import HOSTILE, Page, check_self_contained
from vljepa.errors import DataError, ImageError
from vljepa.inference.contact_sheet import write_contact_sheet
from vljepa.inference.index import Hit

CAP = 10_000
IMAGE = Hit(path="green.jpg", score=0.5)
SEGMENT = Hit(path="story.gif", score=0.25, start=1.0, end=65.5, time=2.0)


@pytest.fixture
def folder(images, animation):
    animation("images/story.gif", ("red", 2), ("blue", 64))
    return images


@pytest.fixture
def sheet(folder, tmp_path):
    """Write a sheet: its text, and what it lacks."""

    def sheet(hits, *, query="a green field", about="3 of 9"):
        path = tmp_path / "sheet.html"
        lacking = write_contact_sheet(path, query=query, hits=hits, folder=folder, about=about, max_pixels=CAP)
        return path.read_text(encoding="utf-8"), lacking

    return sheet


def colours(page):
    """Middle of each image on a page, as the colour that it is nearest to."""
    seen = []
    for found in page.all("img"):
        content = base64.b64decode(found["src"].removeprefix("data:image/jpeg;base64,"))
        pixel = Image.open(io.BytesIO(content)).convert("RGB").getpixel((2, 2))
        seen.append(("red", "green", "blue")[pixel.index(max(pixel))])
    return seen


def test_hits_with_scores_names_times_and_their_own_images(sheet):
    text, lacking = sheet([IMAGE, SEGMENT])

    page = Page(text)
    assert lacking == []
    assert colours(page) == ["green", "blue"]  # of the moment its best frame, not the first of the video
    assert [found["id"] for found in page.all("li", **{"class": "card"})] == ["hit-1", "hit-2"]
    for said in ("a green field", "3 of 9", "green.jpg", "0.500", "story.gif", "00:01.0 - 01:05.5", "0.250"):
        assert said in page.text
    assert page.text.count(" - ") == 1  # an image has no times


def test_the_image_that_was_asked_with_is_shown(sheet, folder):
    text, _ = sheet([IMAGE], query=folder / "red.png")

    page = Page(text)
    assert colours(page) == ["red", "green"]
    assert "red.png" in page.text
    with pytest.raises(ImageError):
        sheet([IMAGE], query=folder / "broken.png")


def test_files_that_are_gone_or_broken_are_shown_by_name_and_the_page_says_why(sheet, folder):
    (folder / "green.jpg").unlink()
    (folder / "story.gif").write_bytes(b"GIF89a broken")

    text, lacking = sheet([IMAGE, SEGMENT, SEGMENT, Hit(path="red.png", score=0.1)])

    page = Page(text)
    assert colours(page) == ["red"]
    assert len(page.all("div", **{"class": "blank"})) == 3
    assert page.text.count("no image: ") == 3
    assert [reason.partition(":")[0] for reason in lacking] == ["green.jpg", "story.gif"]
    assert "there is no image" in lacking[0]


def test_a_video_that_got_shorter_is_not_shown_with_another_frame(sheet):
    text, [lacking] = sheet([Hit(path="story.gif", score=0.1, start=100.0, end=101.0, time=100.0)])

    assert Page(text).all("img") == []
    assert "no frame from 100 s" in lacking


def test_a_pipe_is_not_waited_for(sheet, folder):
    os.mkfifo(folder / "pipe.png")
    end = threading.Timer(5.0, lambda: os.close(os.open(folder / "pipe.png", os.O_WRONLY | os.O_NONBLOCK)))
    end.start()  # so that whoever waits comes to an end

    _, [lacking] = sheet([Hit(path="pipe.png", score=0.1)])

    end.cancel()
    assert "pipe.png' is not a regular file" in lacking


def test_whatever_a_name_or_a_query_holds_is_text(sheet, folder):
    name = HOSTILE.replace("/", "|").replace("\x00", "")
    (folder / "red.png").rename(folder / name)

    text, _ = sheet([Hit(path=name, score=0.5), Hit(path=HOSTILE, score=0.5)], query=HOSTILE, about=HOSTILE)

    page = Page(text)
    assert page.all("script") == []
    assert all("onerror" not in found for _, found in page.elements)
    assert len(page.all("img")) == 1
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_an_image_above_the_cap_is_not_decoded(sheet, folder):
    Image.new("RGB", (101, 100)).save(folder / "green.jpg")

    assert "10,000" in sheet([IMAGE])[1][0]


def test_the_page_is_self_contained_and_its_policy_fits(sheet, folder):
    check_self_contained(sheet([IMAGE, SEGMENT], query=folder / "red.png")[0], links="#hit-")


def test_no_hits_make_a_page_too(sheet):
    assert "a green field" in Page(sheet([])[0]).text


def test_a_place_that_cannot_be_written(folder, tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        write_contact_sheet(
            tmp_path / "none" / "a.html", query="x", hits=[IMAGE], folder=folder, about="", max_pixels=CAP
        )
