import math

import pytest
from PIL import Image

from vljepa.configs import CalibrationConfig
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.classify import classify
from vljepa.inference.vqa import ask

RED = Image.new("RGB", (2, 2), "#ff0000")


def test_probabilities_are_the_calibrated_softmax_of_cosines(model, processor):
    [guess] = classify(model, processor, RED, labels=["green", "red", "blue"])

    odds = math.exp(1 / 0.1)
    assert guess.label == "red"
    assert guess.confidence == pytest.approx(odds / (odds + 2))
    assert [*guess.probabilities] == ["red", "green", "blue"]
    assert sum(guess.probabilities.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("ask_too", [False, True])
def test_the_temperature_is_that_of_so_many_candidates(model, processor, ask_too):
    kind = "ask" if ask_too else "classify"
    model.config.calibration = CalibrationConfig(**{kind: 0.1, f"{kind}_exponent": -0.5})
    labels = ["green", "red", "blue"]
    if ask_too:
        [guess] = ask(model, processor, RED, question="what colour is it?", choices=labels)
    else:
        [guess] = classify(model, processor, RED, labels=labels)
    odds = math.exp(1 / (0.1 * (3 / 20) ** -0.5))
    assert guess.confidence == pytest.approx(odds / (odds + 2))


def test_labels_go_through_the_template_and_come_back_without(model, processor):
    model.config.prompts.classification = "a photo of {}"
    with pytest.raises(ValueError, match="a photo of green"):  # the fake does not know that text
        classify(model, processor, RED, labels=["red", "green"])


def test_below_the_minimum_confidence_it_abstains(model, processor):
    image = Image.new("RGB", (2, 2), (200, 198, 0))

    [sure] = classify(model, processor, image, labels=["red", "green"], min_confidence=0.5)
    [unsure] = classify(model, processor, image, labels=["red", "green"], min_confidence=0.9)

    assert sure.label == "red"
    assert unsure.label is None
    assert unsure.confidence == sure.confidence < 0.9


def test_a_confidence_of_just_the_minimum_is_said(model, processor):
    image = Image.new("RGB", (2, 2), (200, 198, 0))
    [plain] = classify(model, processor, image, labels=["red", "green"])
    [just] = classify(model, processor, image, labels=["red", "green"], min_confidence=plain.confidence)
    [above] = classify(
        model, processor, image, labels=["red", "green"], min_confidence=math.nextafter(plain.confidence, 1)
    )
    assert just.label == "red"
    assert above.label is None


def test_images_are_named_as_they_were_given(model, processor, images):
    files = [str(images / "red.png"), images / "green.jpg", RED]

    estimates = classify(model, processor, files, labels=["red", "green"])

    assert [guess.image for guess in estimates] == [str(files[0]), str(files[1]), "<image>"]
    assert [guess.label for guess in estimates] == ["red", "green", "red"]


def test_broken_images(model, processor, images):
    with pytest.raises(ImageError):
        classify(model, processor, images / "broken.png", labels=["red", "green"])
    broken = []
    estimates = classify(
        model,
        processor,
        [images / "broken.png", images / "red.png"],
        labels=["red", "green"],
        on_broken=lambda image, error: broken.append(image),
    )
    assert [guess.label for guess in estimates] == ["red"]
    assert broken == [images / "broken.png"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "0 candidate"),
        (["red"], "1 candidate"),
        (["red", " "], "empty"),
        (["red", "red "], "twice"),
        ("red", "list"),
    ],
)
def test_unusable_labels(model, processor, labels, message):
    with pytest.raises(ConfigError, match=message):
        classify(model, processor, RED, labels=labels)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_an_impossible_minimum_confidence(model, processor, confidence):
    with pytest.raises(ConfigError, match="probability"):
        classify(model, processor, RED, labels=["red", "green"], min_confidence=confidence)
