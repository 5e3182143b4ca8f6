"""`classify` with a classifier behind the model: its evidence, and none of the labels."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tests.unit.inference.conftest import ColourModel, ColourProcessor
from vljepa.configs import CalibrationConfig, LabelPriorConfig, OpenSetConfig
from vljepa.errors import ConfigError
from vljepa.inference.classify import classify
from vljepa.inference.embed import Embedder
from vljepa.inference.vqa import ask
from vljepa.models.residuals import Residual

RED = Image.new("RGB", (2, 2), "#ff0000")
GREY = Image.new("RGB", (2, 2), "#808080")
OPEN = OpenSetConfig(bias=-5.0, cosine=10.0)


class Channels(Residual):
    """A classifier of three classes that is as sure as a channel is bright, and knows nothing of "blue"."""

    def class_probabilities(self, latents):
        return (latents.tokens_BND[:, 0] / latents.tokens_BND[:, 0].sum(1, keepdim=True)).float()

    def class_features(self):
        return torch.eye(3)


class Knowing(ColourModel):
    """The colour model with that classifier, whose classes are called as the labels are but for the last."""

    def __init__(self, *, evidence: float = 0.0, open_set: OpenSetConfig | None = None, names=("green", "red", "sky")):
        super().__init__()
        self.residual = Channels()
        self.config.residual = LabelPriorConfig(label_names=list(names))
        self.config.calibration = CalibrationConfig(classify=0.1, ask=0.5, evidence=evidence, open_set=open_set)

    def project_text(self, features):
        return F.normalize(features.float(), dim=-1)


def seen(model: nn.Module, image=RED, labels=("green", "red", "blue"), **options):
    return classify(model, ColourProcessor(), image, labels=labels, **options)[0]


def test_the_evidence_of_a_known_class_counts_with_its_weight():
    """The classifier's first class is called "green": it is wrong about red, and believed to 0.4."""
    plain, informed = seen(Knowing()), seen(Knowing(evidence=0.4))
    assert plain.label == informed.label == "red"
    for label, given in (("green", 1.0), ("red", 0.0), ("blue", 0.0)):
        assert informed.probabilities[label] == pytest.approx(0.4 * given + 0.6 * plain.probabilities[label])
    assert seen(Knowing(evidence=0.7)).label == "green"


def test_names_that_the_classifier_does_not_know_are_as_without_it():
    without = seen(ColourModel()).probabilities
    assert seen(Knowing(evidence=0.9, names=("sky", "sea", "sun"))).probabilities == without
    assert seen(Knowing(evidence=0.0)).probabilities == without


def test_a_class_that_is_no_candidate_takes_nothing():
    """Of a red image the classifier says "sky", and no label is the sky."""
    model = Knowing(evidence=0.9, names=("sky", "green", "blue"))
    assert seen(model).probabilities == seen(ColourModel()).probabilities


def test_a_residual_without_a_classifier_has_no_evidence():
    model = ColourModel()
    model.residual = Residual()
    model.config.calibration = CalibrationConfig(classify=0.1, evidence=0.9)
    assert seen(model).probabilities == seen(ColourModel()).probabilities


def test_closed_questions_do_not_ask_the_classifier():
    asked = {"question": "what colour is it?", "choices": ["green", "red"]}
    [plain] = ask(ColourModel(), ColourProcessor(), RED, **asked)
    [informed] = ask(Knowing(evidence=0.9), ColourProcessor(), RED, **asked)
    assert plain == informed


def test_none_of_the_labels_has_a_probability():
    """Grey is as near to green and to blue: cosine 1 / sqrt 3 each, and sigmoid(10 / sqrt 3 - 5) that one is right."""
    model = Knowing(open_set=OPEN)
    guess = seen(model, GREY, labels=["green", "blue"], none=True)
    right = 1 / (1 + math.exp(-(10 / math.sqrt(3) - 5)))
    assert guess.none == pytest.approx(1 - right)
    assert sum(guess.probabilities.values()) == pytest.approx(right)
    assert guess.confidence == pytest.approx(right / 2)
    assert guess.label == "green", "one of them is likelier than none"


def test_none_is_said_where_it_is_likelier_than_one_of_them():
    model = Knowing(open_set=OPEN)
    absent, present = seen(model, RED, labels=["green", "blue"], none=True), seen(model, none=True)
    assert (absent.label, present.label) == (None, "red")
    assert absent.none == pytest.approx(1 / (1 + math.exp(-5)))
    assert present.none == pytest.approx(1 / (1 + math.exp(5)))
    forced = seen(model, RED, labels=["green", "blue"])
    assert (forced.label, forced.none) == ("green", None)
    assert sum(forced.probabilities.values()) == pytest.approx(1)


def test_evidence_speaks_against_none():
    """No label is near red by its text; the classifier calls it "blue"."""
    model = Knowing(open_set=OPEN, evidence=0.8, names=("blue", "sea", "sun"))
    guess = seen(model, RED, labels=["green", "blue"], none=True)
    assert guess.label == "blue"
    assert guess.none == pytest.approx(0.2 / (1 + math.exp(-5)))


def test_classes_that_no_label_names_are_the_reference():
    config = OpenSetConfig(bias=0.0, cosine=0.0, reference=-4.0)
    model = Knowing(open_set=config, names=("red", "green", "blue"))  # the features of class 0 are those of red
    absent = seen(model, RED, labels=["green", "blue"], none=True)
    present = seen(model, RED, labels=["green", "red", "blue"], none=True)
    assert absent.none == pytest.approx(1 / (1 + math.exp(-4)))
    assert present.none == pytest.approx(0.5), "all classes are named, so there is none to compare with"


def test_the_minimum_confidence_holds_beside_none():
    model = Knowing(open_set=OPEN)
    assert seen(model, none=True, min_confidence=0.99).label == "red"
    assert seen(model, none=True, min_confidence=0.999).label is None


def test_none_needs_a_calibrated_model():
    with pytest.raises(ConfigError, match=r"not calibrated for none.*give min_confidence"):
        seen(Knowing(), none=True)


def test_the_evidence_is_that_of_each_image(images):
    files = [str(images / name) for name in ("red.png", "broken.png", "green.jpg")]
    embedder = Embedder(Knowing(), ColourProcessor())
    [batch] = embedder.embedded(files, on_broken=lambda *what: None)
    assert batch.images == [files[0], files[2]]
    assert batch.classes is not None
    assert batch.classes.argmax(1).tolist() == batch.rows.argmax(1).tolist() == [0, 1]
    [plain] = Embedder(ColourModel(), ColourProcessor()).embedded(files[:1])
    assert plain.classes is None


def test_mini_has_learned_both():
    """What is shipped, whatever has been fitted since."""
    file = Path(__file__).parents[3] / "vljepa" / "pretrained" / "mini" / "config.json"
    calibration = CalibrationConfig(**json.loads(file.read_text(encoding="utf-8"))["calibration"])
    assert calibration.evidence > 0.3
    assert calibration.open_set is not None
