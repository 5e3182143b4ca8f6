"""Paths from a file or a pipe, and queries of several parts."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vljepa import Index
from vljepa.cli.search_query import weighted
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.inference.query import query_row


@pytest.fixture
def pipe(monkeypatch):
    """What standard input holds."""

    def pipe(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return pipe


@pytest.mark.parametrize(
    "content", [b"images/red.png\nimages/deep/blue.jpg\n", b"images/red.png\0images/deep/blue.jpg"]
)
def test_paths_of_a_pipe(run, toy, images, pipe, content):
    pipe(content)
    code, out, _ = run("classify", "-f", "-", "--labels", "a,b", "--model", toy, "--json")
    assert code == 0
    assert [one["image"] for one in json.loads(out)["predictions"]] == ["images/red.png", "images/deep/blue.jpg"]


def test_names_with_line_ends_come_with_nuls(run, toy, images, pipe):
    Image.new("RGB", (8, 8), "red").save("a\nb.png")
    pipe(b"a\nb.png\0images/red.png\0")
    code, out, _ = run("classify", "-f", "-", "--labels", "a,b", "--model", toy, "--json")
    assert code == 0
    assert [one["image"] for one in json.loads(out)["predictions"]] == ["a\nb.png", "images/red.png"]


def test_paths_of_a_file_for_caption_and_ask(run, speaking_toy, images):
    (images.parent / "list.txt").write_text("images/deep/blue.jpg\n\nimages/red.png\nimages/deep/blue.jpg\n")
    wanted = ["images/deep/blue.jpg", "images/red.png"]
    code, out, _ = run("caption", "-f", "list.txt", *speaking_toy, "--json")
    assert code == 0
    assert [one["image"] for one in json.loads(out)["captions"]] == wanted
    code, out, _ = run("ask", "what is it?", "-f", "list.txt", *speaking_toy, "--json")
    assert code == 0
    said = json.loads(out)
    assert said["question"] == "what is it?"
    assert [one["image"] for one in said["answers"]] == wanted
    code, out, _ = run("ask", "is it?", "--paths-file", "list.txt", *speaking_toy[:2], "--choices", "a,b", "--json")
    assert code == 0
    assert [one["image"] for one in json.loads(out)["predictions"]] == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["caption", "-f", "none.txt"], "cannot read 'none.txt'"),
        (["caption", "-f", "gone.txt"], "'gone.txt' names 'nothing.png' and 1 more, where there is nothing"),
        (["classify", "--labels", "a,b"], "there is no image."),
        (["classify", "--labels", "a,b", "-f", "empty.txt"], "there is no image on the command line or in 'empty.txt'"),
        (["ask", "what is it?"], "ask takes an image and a question, and was given 1 argument."),
        (["ask", "images", "what", "is", "it?"], "and was given 4 arguments"),
        (["ask", "images", "what is it?", "-f", "gone.txt"], "a question alone with -f, and was given 2"),
    ],
)
def test_what_is_not_there_is_said(fails, toy, images, words, message):
    (images.parent / "gone.txt").write_text("nothing.png\nimages/red.png\nneither.png\n")
    (images.parent / "empty.txt").write_text("\n\n")
    assert message in fails(*words, "--model", toy)


@pytest.fixture
def index(run, toy, images):
    Image.new("RGB", (8, 8), "lime").save(images / "deep" / "green.gif")
    code, _, _ = run("index", "images", "-o", "my.index", "--model", toy)
    assert code == 0
    return "my.index"


def found(run, *words):
    code, out, err = run("search", *words, "--json")
    assert code == 0, err
    return [hit["path"] for hit in json.loads(out)["hits"]], err


def test_files_are_left_out_by_name_folder_and_place(run, fails, toy, index):
    def paths(*words):
        return sorted(found(run, index, "red", "--model", toy, *words)[0])

    assert paths() == ["deep/blue.jpg", "deep/green.gif", "red.png"]
    assert paths("--exclude", "*.gif") == ["deep/blue.jpg", "red.png"]
    assert paths("--exclude", "deep") == ["red.png"]
    assert paths("--exclude", "deep/b*", "--exclude", "red.png") == ["deep/green.gif"]
    assert paths("--exclude", "b*/deep") == paths()
    assert "no file of the index is left" in fails("search", index, "red", "--model", toy, "--exclude", "*")


def test_only_among_files_of_a_pipe(run, toy, images, index, pipe):
    (images.parent / "other.png").write_bytes((images / "red.png").read_bytes())
    (images.parent / "way").symlink_to(images)
    pipe(b"way/deep/blue.jpg\nimages/red.png\nother.png\n")
    paths, err = found(run, index, "red", "--model", toy, "-f", "-")
    assert sorted(paths) == ["deep/blue.jpg", "red.png"]
    assert "1 of 3 files of -f are not in the index" in err


def test_plus_and_minus_move_the_query(run, toy, images, index):
    embedder = Embedder.from_pretrained(toy, device="cpu")
    red, blue = embedder.images([images / "red.png"])[0], embedder.images([images / "deep" / "blue.jpg"])[0]
    text = embedder.texts(["a sea"])[0]
    wanted = red - 0.25 * blue + 2 * text
    wanted /= np.linalg.norm(wanted)
    row = query_row(embedder, images / "red.png", plus=[("a sea", 2.0)], minus=[(images / "deep" / "blue.jpg", 0.25)])
    np.testing.assert_allclose(row, wanted, atol=1e-6)
    loaded = Index.load(embedder.model, embedder.processor, index)
    hits = loaded.search(images / "red.png", plus=[("a sea", 2)], minus=[(images / "deep" / "blue.jpg", 0.25)])
    code, out, _ = run(
        *("search", index, "images/red.png", "--plus", "2*a sea", "--minus", "0.25*images/deep/blue.jpg"),
        *("--model", toy, "--json"),
    )
    assert code == 0
    assert [(one["path"], one["score"]) for one in json.loads(out)["hits"]] == [(one.path, one.score) for one in hits]
    assert hits[0].score == pytest.approx(max(loaded.entries.scores(wanted)), abs=1e-6)


def test_weights_and_what_they_stand_before(images):
    assert weighted("sunset") == ("sunset", 1.0)
    assert weighted("0.5*sunset") == ("sunset", 0.5)
    assert weighted(".5 * two words") == ("two words", 0.5)
    assert weighted("at 12:30*") == ("at 12:30*", 1.0)
    assert str(weighted("2*images/red.png")[0]) == "images/red.png"


def test_queries_that_come_to_nothing(fails, toy, images, index):
    embedder = Embedder.from_pretrained(toy, device="cpu")
    with pytest.raises(ConfigError, match="leaves nothing of the query"):
        query_row(embedder, "red", minus=["red"])
    assert "the weight 0.0 is not above 0" in fails("search", index, "red", "--minus", "0*red", "--model", toy)
    assert "there is no image 'gone.png'" in fails("search", index, "red", "--plus", "gone.png", "--model", toy)
