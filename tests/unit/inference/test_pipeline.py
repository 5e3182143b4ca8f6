"""One object: it says what the functions say, and tells texts from images."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vljepa
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.embed import Embedder
from vljepa.inference.pipeline import Pipeline
from vljepa.inference.vqa import ask

IMAGES = Path(__file__).parents[3] / "examples" / "images"
RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


@pytest.fixture
def colours(model, processor):
    return Pipeline(Embedder(model, processor))


def test_texts_and_images_may_be_mixed_and_keep_their_order(colours, images):
    rows = colours.encode(["blue", str(images / "red.png"), "green", images / "deep" / "blue.webp"])
    assert rows == pytest.approx(np.stack([BLUE, RED, GREEN, BLUE]), abs=1e-3)
    assert rows.dtype == np.float32


def test_one_input_is_one_row(colours, images):
    assert colours.encode("red") == pytest.approx(RED[None])
    assert colours.encode(images / "green.jpg") == pytest.approx(GREEN[None], abs=0.01)
    assert colours.encode([]).shape == (0, 3)


def test_keywords_force_the_kind(colours, images, monkeypatch):
    monkeypatch.chdir(images)
    Image.new("RGB", (8, 8), "#0000ff").save(images / "red", format="PNG")  # a blue image that is called red

    assert colours.encode("red") == pytest.approx(BLUE[None])
    assert colours.encode(images="red") == pytest.approx(BLUE[None])
    assert colours.encode(texts="red") == pytest.approx(RED[None])


@pytest.mark.parametrize("missing", ["nothing.jpg", "a folder/clip.MP4", "http://example.org/red"])
def test_an_image_that_is_not_there_is_no_text(colours, missing):
    with pytest.raises(ImageError):
        colours.encode(["red", missing])


def test_a_long_text_is_no_file_name(colours):
    with pytest.raises(ValueError, match="is not in list"):  # the colour model knows no such word, but took it for one
        colours.encode("red " * 5000)


@pytest.mark.parametrize("given", [{}, {"images": ["a.jpg"], "texts": ["a"]}, {"inputs": "red", "texts": "red"}])
def test_what_is_to_be_embedded_is_given_once(colours, given):
    with pytest.raises(ConfigError, match="one of inputs, images= and texts="):
        colours.encode(**given)


def test_similarity_takes_embeddings_texts_and_images(colours, images):
    rows = 5 * colours.encode(["red", "green"])
    cosines = colours.similarity(rows, [images / "red.png", "blue"])
    assert cosines == pytest.approx(np.array([[1, 0], [0, 0]]), abs=1e-3)
    assert colours.similarity(rows[0], rows[1]).shape == (1, 1)


@pytest.mark.parametrize(("rows", "reason"), [(np.ones((2, 4)), "numbers"), (np.zeros((1, 3)), "no cosine")])
def test_an_array_that_is_no_embeddings_is_refused(colours, rows, reason):
    with pytest.raises(ConfigError, match=reason):
        colours.similarity(rows, "red")


def test_search_tells_an_image_from_a_text(colours, images, tmp_path):
    index = colours.index(images)
    index.save(tmp_path / "my.index")

    saved, green = tmp_path / "my.index", str(images / "green.jpg")
    assert [hit.path for hit in colours.search(index, "blue", k=1)] == ["deep/blue.webp"]
    assert [hit.path for hit in colours.search(saved, green, k=1)] == ["green.jpg"]
    with pytest.raises(ImageError, match="no image"):
        colours.search(index, "gone.jpg")


def test_answers_are_those_of_the_functions(colours, model, processor, images):
    files = [images / "red.png", images / "green.jpg"]
    question = {"question": "what colour is it?", "choices": ["red", "green"]}
    assert colours.ask(files, **question) == ask(model, processor, files, **question)
    assert [one.label for one in colours.ask(files, **question)] == ["red", "green"]


@pytest.mark.assets
def test_the_shipped_model_in_three_lines():
    vl = vljepa.load("mini")
    cat, rocket = IMAGES / "cat.jpg", IMAGES / "rocket.jpg"
    same = [cat, str(cat), cat.read_bytes(), io.BytesIO(cat.read_bytes()), Image.open(cat)]
    same.append(np.asarray(Image.open(cat).convert("RGB")))

    rows = vl.encode([*same, rocket, "the face of a tabby cat"])

    assert rows.shape == (8, vl.model.config.embed_dim)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    assert rows[:6] == pytest.approx(np.repeat(rows[:1], 6, axis=0), abs=1e-5)
    assert rows[0] @ rows[7] > rows[6] @ rows[7] + 0.2
    assert rows[:7] == pytest.approx(Embedder(vl.model, vl.processor).images([*same, rocket]), abs=1e-6)
    assert vl.classify(cat, ["cat", "rocket"])[0].label == "cat"
    assert vl.classify(rocket, ["cat", "rocket"])[0].label == "rocket"
    assert vl.ask(cat, "is there a cat?", ["yes", "no"])[0].label == "yes"
    assert "cat" in vl.caption(cat)[0].text
    assert vl.ask(cat, "which animal is it?")[0].text
    assert vl.search(vl.index(IMAGES), "a rocket", k=1)[0].path == "rocket.jpg"


def test_words_and_segments_come_from_the_decoder(speaker, images, animation):
    vl = Pipeline(Embedder(**speaker))
    assert [said.text for said in vl.caption([images / "red.png", images / "green.jpg"])] == ["red", "green"]
    clip = animation("clip.gif", ("red", 3), ("blue", 3))
    assert [segment.text for segment in vl.stream(clip)] == ["red", "blue"]
    with pytest.raises(ConfigError, match="the question is empty"):
        vl.ask(images / "red.png", " ")
