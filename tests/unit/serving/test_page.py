"""What the tabs of `vljepa demo` answer, without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.serving.conftest import IMAGES
from vljepa.errors import ConfigError, ImageError, VideoError, VLJEPAError
from vljepa.inference.pipeline import Pipeline
from vljepa.serving.page.classify import NONE, probabilities
from vljepa.serving.page.compare import cosines
from vljepa.serving.page.describe import answer
from vljepa.serving.page.desk import Desk, listed
from vljepa.serving.page.search import caption, nearest, play, thumbnail
from vljepa.serving.page.video import Webcam, captions

CLIP = IMAGES.parent / "clip.mp4"
CAT = str(IMAGES / "cat.jpg")


@pytest.fixture(scope="module")
def desk(mini: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("shown")
    for name in ("cat.jpg", "rocket.jpg"):
        shutil.copy(IMAGES / name, folder)
    shutil.copy(CLIP, folder)
    (folder / "broken.jpg").write_bytes(b"no image")
    return Desk(mini, name="mini", folders=[folder])


def test_a_caption_and_answers(desk: Desk, mini: Pipeline) -> None:
    words, remark, among = answer(desk, CAT, "", "")
    [own] = mini.caption(CAT)
    assert (words, among) == (own.text, None)
    assert f"{own.confidence:.0%}" in remark
    words, remark, among = answer(desk, CAT, "what is it?", "a cat, a rocket")
    assert words == "a cat"
    assert among == mini.ask(CAT, "what is it?", ["a cat", "a rocket"])[0].probabilities
    assert f"{among['a cat']:.0%}" in remark
    assert answer(desk, CAT, "what is this?", "")[0] == mini.ask(CAT, "what is this?")[0].text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, "", ""), "there is no image"),
        ((CAT, "", "yes, no"), "no question"),
        ((CAT, "which?", "yes, yes"), "twice"),
    ],
)
def test_what_cannot_be_described_says_why(desk: Desk, arguments: tuple[str, str, str], message: str) -> None:
    with pytest.raises(VLJEPAError, match=message):
        answer(desk, *arguments)


def test_bad_uploads_are_named(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"GIF89a no")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        answer(desk, str(tmp_path / "a.jpg"), "", "")
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(VideoError, match=r"a\.mp4"):
        list(captions(desk, str(tmp_path / "a.mp4")))
    with pytest.raises(ConfigError, match="there is no video"):
        list(captions(desk, None))


def test_labels_and_none_of_these(desk: Desk, mini: Pipeline) -> None:
    found = probabilities(desk, CAT, "cat, dog, rocket", none=False)
    assert max(found, key=found.__getitem__) == "cat"
    other = probabilities(desk, str(IMAGES / "coffee.jpg"), "cat\ndog", none=True)
    assert max(other, key=other.__getitem__) == NONE
    assert sum(other.values()) == pytest.approx(1)
    with pytest.raises(ConfigError, match="no labels"):
        probabilities(desk, CAT, " , ", none=True)


def test_cosines_of_texts(desk: Desk, mini: Pipeline) -> None:
    head, rows = cosines(desk, "a cat\na kitten\n", "a rocket\na cat")
    assert head == ["", "a rocket", "a cat"]
    wanted = mini.similarity(["a cat", "a kitten"], ["a rocket", "a cat"])
    np.testing.assert_allclose([[float(value) for value in row[1:]] for row in rows], wanted, atol=6e-4)
    assert [row[0] for row in rows] == ["a cat", "a kitten"]
    assert cosines(desk, "a\nb", "")[0] == ["", "a", "b"]
    with pytest.raises(ConfigError, match="51 texts"):
        cosines(desk, "a\n" * 51, "")


def test_a_folder_is_searched_and_its_video_plays_at_the_hit(desk: Desk) -> None:
    [folder] = desk.folders
    counted: list[int] = []
    hits, about = nearest(desk, folder, "a rocket", None, progress=counted.append)
    image = next(hit for hit in hits if hit.start is None)
    assert Path(image.path).name == "rocket.jpg"
    assert sum(counted) == 4
    assert "1 files cannot be read" in about
    assert caption(image).endswith("rocket.jpg")
    assert max(thumbnail(desk, folder, image).size) <= 480
    assert "<img" in play(desk, folder, image)
    assert desk.media[desk.key_of(folder, "rocket.jpg")] == desk.folders[folder] / "rocket.jpg"
    film = next(hit for hit in hits if hit.start is not None and hit.start > 0)
    assert isinstance(thumbnail(desk, folder, film), Image.Image)
    assert f'src="media/{desk.key_of(folder, "clip.mp4")}#t={film.start:.2f}"' in play(desk, folder, film)
    assert Path(nearest(desk, folder, "", CAT)[0][0].path).name == "cat.jpg"


def test_only_the_folders_that_were_named_are_searched(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not shown here"):
        nearest(desk, str(IMAGES), "a cat", None)
    [folder] = desk.folders
    for text, like in (("", None), ("a cat", CAT)):
        with pytest.raises(ConfigError, match="one of them"):
            nearest(desk, folder, text, like)


def test_a_link_that_leads_out_of_a_folder_is_not_shown(mini: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    shutil.copy(CAT, tmp_path / "shown")
    shutil.copy(IMAGES / "rocket.jpg", tmp_path)
    (tmp_path / "shown" / "link.jpg").symlink_to(tmp_path / "rocket.jpg")
    own = Desk(mini, name="mini", folders=[tmp_path / "shown"])
    hits, _ = nearest(own, str(tmp_path / "shown"), "a rocket", None)
    assert [Path(hit.path).name for hit in hits] == ["cat.jpg"]
    assert list(own.media.values()) == [tmp_path / "shown" / "cat.jpg"]


def test_a_folder_that_has_changed_is_looked_at_again(desk: Desk, mini: Pipeline, tmp_path: Path) -> None:
    shutil.copy(CAT, tmp_path)
    own = Desk(mini, name="mini", folders=[tmp_path])
    assert len(nearest(own, str(tmp_path), "a rocket", None)[0]) == 1
    shutil.copy(IMAGES / "rocket.jpg", tmp_path)
    hits, _ = nearest(own, str(tmp_path), "a rocket", None)
    assert [Path(hit.path).name for hit in hits] == ["rocket.jpg", "cat.jpg"]


def test_a_video_in_words_and_its_report(desk: Desk, mini: Pipeline) -> None:
    *parts, (rows, saved, report) = captions(desk, str(CLIP))
    wanted = [segment.text for segment in mini.stream(CLIP)]
    assert [row[1] for row in rows] == wanted
    assert [len(part[0]) for part in parts] == list(range(1, len(wanted) + 1)), "each as soon as it is over"
    assert "at 1 Hz" in saved
    assert "Change of meaning" in report
    assert "sandbox" in report


def test_a_webcam_says_a_new_scene_once_and_forgets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds) / 4)
    webcam = Webcam(desk)
    scenes = [Image.open(IMAGES / name).convert("RGB").resize((64, 64)) for name in ("cat.jpg", "rocket.jpg")]
    for number in range(40):
        webcam.push(scenes[number // 20])
    rows, saved, changes = webcam.shown()
    assert webcam.decodes == len(rows) == 1
    assert "1 texts decoded" in saved
    assert len(changes) == 40
    at = changes["seconds"][int(changes["change"].argmax())]
    assert at == pytest.approx(changes["seconds"][20], abs=1.01), "the signal is high where the scene changes"


def test_lists_by_lines_or_commas() -> None:
    assert listed("a, b ,,c") == ["a", "b", "c"]
    assert listed("a, b\n\n c\n") == ["a, b", "c"]
