"""Labels, questions and images of any type: taken as what they are, or refused in a sentence."""

import numpy as np
import pytest
from PIL import Image

from vljepa.errors import ConfigError, ImageError
from vljepa.inference.caption import caption
from vljepa.inference.classify import classify
from vljepa.inference.vqa import ask

RED = np.zeros((4, 6, 3), dtype=np.uint8)
RED[:, :, 0] = 255


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("red", "labels is the text 'red', not a list"),
        (b"red", "not a list of texts"),
        (None, "labels is None, not a list of texts"),
        (3, "labels is 3, not a list of texts"),
        (["red", 3], "an entry of labels is 3, of type int, not a text"),
        (["red", None], "an entry of labels is None, of type NoneType, not a text"),
        (["red", ["green"]], "of type list, not a text"),
        (["red", "caf\udce9"], r"an entry of labels 'caf\\udce9' is not Unicode at character 4"),
        ([f"label {number}" for number in range(50)] + [" "], r"an empty entry: \['label 0', .*'label 7', \.\.\.\]"),
    ],
)
def test_labels_that_are_none(model, processor, labels, said):
    with pytest.raises(ConfigError, match=said) as caught:
        classify(model, processor, RED, labels=labels)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("labels", [("red", "green"), {"red": 1, "green": 2}, np.array(["red", "green"])])
def test_labels_of_any_collection(model, processor, labels):
    assert classify(model, processor, Image.fromarray(RED), labels=labels)[0].label == "red"


@pytest.mark.parametrize("question", [None, 3, ["what colour is it?"], b"what?", "caf\udce9"])
def test_questions_that_are_none(model, processor, question):
    with pytest.raises(ConfigError, match=r"the question .*(not a text|is not Unicode)"):
        ask(model, processor, Image.fromarray(RED), question=question, choices=["red", "green"])


@pytest.mark.parametrize("query", [None, 3, "caf\udce9"])
def test_queries_that_are_none(speaker, query):
    with pytest.raises(ConfigError, match=r"the query .*(not a text|is not Unicode)"):
        caption(speaker["model"], speaker["processor"], Image.fromarray(RED), query=query)


@pytest.mark.parametrize("images", [None, 3, {"a": "a.png"}, 2.5])
def test_images_that_are_none(model, processor, images):
    with pytest.raises(ConfigError, match=r"images is of type .*neither an image nor a list"):
        classify(model, processor, images, labels=["red", "green"])


def test_one_array_is_one_image_and_a_batch_of_them_is_many(model, real_images):
    assert [one.label for one in classify(model, real_images, RED, labels=["red", "green"])] == ["red"]
    found = classify(model, real_images, np.stack([RED, RED[:, :, [1, 0, 2]]]), labels=["red", "green"])
    assert [one.label for one in found] == ["red", "green"]
    assert found[0].image == "<array 4 x 6 x 3>"
    found = classify(model, real_images, (frame for frame in [RED, Image.fromarray(RED)]), labels=["red", "green"])
    assert [one.label for one in found] == ["red", "red"]


def test_what_is_no_image_in_a_list_is_skipped_by_name(model, real_images):
    broken = []
    found = classify(
        model,
        real_images,
        [RED, None, np.zeros((0, 4, 3), np.uint8)],
        labels=["red", "green"],
        on_broken=lambda image, error: broken.append(error.message),
    )
    assert [one.label for one in found] == ["red"]
    assert broken == ["None is not an image but of type NoneType.", "<array 0 x 4 x 3> has no pixels."]
    with pytest.raises(ImageError, match="None is not an image"):
        classify(model, real_images, [None], labels=["red", "green"])


@pytest.fixture
def real_images(processor):
    """The colour processor, which opens whatever the real one opens."""
    from vljepa.processing.given import as_rgb

    plain = processor.images
    processor.images = lambda images: plain([as_rgb(image, max_pixels=10_000) for image in images])
    return processor
