"""`vljepa demo` in a real headless Chromium: every tab with real images and a clip, as a visitor uses it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.videos import write_video

EXAMPLES = Path(__file__).parents[2] / "examples"
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
PATIENCE = 180
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
]  # fmt: skip

LACKING = [name for name in ("gradio", "selenium") if find_spec(name) is None]
pytestmark = [
    pytest.mark.assets,
    pytest.mark.skipif(bool(LACKING), reason="gradio holds Pillow back, and .ci/run installs it last"),
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of its own process."""
    shown = tmp_path_factory.mktemp("shown")
    for name in ("images/cat.jpg", "images/rocket.jpg", "clip.mp4"):
        shutil.copy(EXAMPLES / name, shown)
    log = tmp_path_factory.mktemp("log") / "demo.txt"
    code = "import sys; from vljepa.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "demo", "--folder", str(shown), "--port", "0"],
            stdout=file,
            stderr=file,
            env=os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(log.parent)},
        )
    try:
        while (found := re.search(r"serving mini at (http://127\.0\.0\.1:\d+)", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert "Traceback" not in log.read_text()


@pytest.fixture
def visit(address: str) -> Iterator[Callable[..., Visitor]]:
    """Opens the page in a browser of its own."""
    browsers = []

    def visit(*, width: int = 1280, path: str = "/", camera: Path | None = None) -> Visitor:
        visitor = Visitor(address + path, width=width, camera=camera)
        browsers.append(visitor)
        return visitor

    yield visit
    for one in browsers:
        one.driver.quit()


class Visitor:
    """A browser with the page open."""

    def __init__(self, address: str, *, width: int, camera: Path | None) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        shown = [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
        for argument in [*ARGUMENTS, *shown]:
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.driver.set_window_size(width, 1000)
        self.driver.get(address)
        self.find("#describe")

    def wait(self, what: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: what())

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def find(self, selector: str) -> Any:
        return self.wait(lambda: self.all(selector))[0]

    def tab(self, name: str) -> None:
        self.wait(lambda: [one for one in self.all("button[role=tab]") if one.text == name])[0].click()

    def upload(self, selector: str, file: Path) -> None:
        self.find(f"{selector} input[type=file]").send_keys(str(file))
        self.wait(lambda: file.stem in self.find(selector).text or self.all(f"{selector} video"))

    def write(self, selector: str, text: str) -> None:
        self.find(f"{selector} textarea, {selector} input").send_keys(text)

    def press(self, selector: str) -> None:
        self.wait(lambda: self.find(selector).is_displayed())
        self.find(selector).click()

    def error(self) -> str:
        return str(self.wait(lambda: [one.text for one in self.all(".toast-body.error") if one.text])[0])


def test_captions_and_answers(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.upload("#describe-image", EXAMPLES / "images" / "cat.jpg")
    visitor.press("#describe")
    assert "cat" in visitor.wait(lambda: visitor.find("#words textarea").get_attribute("value"))


def test_a_bad_upload_is_an_error_that_says_why(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    visitor = visit()
    visitor.press("#describe")
    assert "there is no image" in visitor.error()
    visitor = visit()
    visitor.upload("#describe-image", tmp_path / "broken.jpg")
    visitor.press("#describe")
    assert "is not a readable image" in visitor.error()


def test_a_folder_is_searched_and_a_hit_plays(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.tab("Search my folder")
    visitor.write("#query", "a cat")
    visitor.press("#search")
    hits = visitor.wait(lambda: visitor.all("#hits .thumbnail-item img"))
    assert len(hits) >= 4, "two images and segments of a video"
    assert all(visitor.wait(lambda one=one: one.get_property("naturalWidth")) for one in hits)
    [film] = [number for number, one in enumerate(visitor.all("#hits .caption-label")) if "clip.mp4" in one.text][:1]
    visitor.all("#hits .thumbnail-item")[film].click()
    video = visitor.find("#player video")
    assert "#t=" in video.get_attribute("src")
    assert visitor.wait(lambda: video.get_property("readyState") >= 2), "it plays"


def test_a_video_in_words(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.tab("Video")
    visitor.upload("#video", EXAMPLES / "clip.mp4")
    visitor.press("#watch")
    assert "at 1 Hz" in visitor.wait(lambda: visitor.find("#saved").text if "Hz" in visitor.find("#saved").text else "")
    assert visitor.find("#captions").text.count("%") >= 4, "a row with a confidence for each segment"
    assert "Change of meaning" in visitor.find("#report iframe").get_attribute("srcdoc")


def test_a_webcam_is_looked_at(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    """The browser's camera shows two photos in turn, eight seconds each."""
    film = tmp_path / "camera.y4m"
    photos = [Image.open(EXAMPLES / "images" / f"{name}.jpg").resize((320, 240)) for name in ("cat", "rocket")]
    make = partial(shown_in_turn, photos, 40)
    write_video(film, count=80, fps=5, size=(320, 240), codec="wrapped_avframe", make=make)
    visitor = visit(camera=film)
    visitor.tab("Video")
    visitor.tab("Webcam")
    for words in ("Webcam", "Record"):
        visitor.wait(lambda words=words: [one for one in visitor.all("#webcam button") if words in one.text])[0].click()
    assert "cat" in visitor.wait(lambda: visitor.find("#live").text if "%" in visitor.find("#live").text else "")
    assert "texts decoded" in visitor.find("#live-saved").text


def shown_in_turn(photos: list[Image.Image], frames: int, number: int, size: tuple[int, int]) -> Image.Image:
    """The photo of a frame."""
    del size
    return photos[number // frames]


def test_labels_and_texts(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.tab("Classify")
    visitor.upload("#classify-image", EXAMPLES / "images" / "coffee.jpg")
    visitor.write("#labels", "cat, cup of coffee")
    visitor.press("#classify")
    assert visitor.wait(lambda: visitor.find("#probabilities h2").text) == "cup of coffee"
    visitor.tab("Compare texts")
    visitor.write("#left", "a cat")
    visitor.write("#right", "a kitten")
    visitor.press("#compare")
    found = visitor.wait(lambda: re.search(r"a cat\n(0\.\d+)", visitor.find("#cosines").text))
    assert float(found[1]) > 0.3


def test_two_visitors_at_once_get_their_own_answers(visit: Callable[..., Visitor]) -> None:
    both = {name: visit() for name in ("cat", "rocket")}
    for name, visitor in both.items():
        visitor.upload("#describe-image", EXAMPLES / "images" / f"{name}.jpg")
    for visitor in both.values():
        visitor.press("#describe")
    words = {
        name: visitor.wait(lambda one=visitor: one.find("#words textarea").get_attribute("value"))
        for name, visitor in both.items()
    }
    assert "cat" in words["cat"]
    assert "cat" not in words["rocket"]


def test_on_a_phone_nothing_is_cut_off(visit: Callable[..., Visitor]) -> None:
    visitor = visit(width=500, path="/?__theme=dark")
    width = visitor.driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1]
    unnamed = visitor.driver.execute_script(
        "return [...document.querySelectorAll('input, textarea')].filter(one => one.offsetParent && !one.labels.length "
        "&& !one.getAttribute('aria-label') && one.type != 'file').map(one => one.outerHTML)"
    )
    assert unnamed == [], "every box has a name that is read out"


@pytest.mark.parametrize("place", ["/etc/passwd", "{examples}/images/lemons.jpg", "{examples}/../../../etc/passwd"])
def test_no_file_outside_the_folders_is_given(address: str, place: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{address}/gradio_api/file={place.format(examples=EXAMPLES)}")
    assert error.value.code in (403, 404)


@pytest.mark.parametrize("key", ["0" * 32, "..%2f..%2fetc%2fpasswd", "clip.mp4"])
def test_media_are_given_by_their_keys_alone(address: str, key: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{address}/media/{key}")
    assert error.value.code == 404
