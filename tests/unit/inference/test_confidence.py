"""The confidence that a decoder's training ends with."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.inference.test_words import TAXONOMY, writer
from vljepa.inference import confidence as module
from vljepa.inference.confidence import Referenced, fit_confidence


@pytest.fixture
def embedder(monkeypatch):
    """Says the name of the most probable class."""
    one = writer(named=1.0)
    monkeypatch.setattr(module, "Writer", lambda model, processor, **options: one)
    return SimpleNamespace(model=one.model, processor=None, texts=one.embed, kept_texts=one.kept)


def referenced(texts, *, sure, queries=None):
    """Images of beagles; the encoder gives them `sure`, and a laptop the rest."""
    classes = np.zeros((len(texts), 1000), dtype=np.float32)
    classes[:, TAXONOMY.classes_of("beagle")[0]] = sure
    classes[:, TAXONOMY.classes_of("laptop")[0]] = 1 - np.asarray(sure)
    rows = np.ones((len(texts), 3), dtype=np.float32) / 3
    return Referenced(rows, classes, texts, queries or [""] * len(texts))


def test_what_the_encoder_is_sure_of_is_right_more_often(embedder):
    """Right where it is sure; where it is not, the references name something else half of the time."""
    texts = [["a beagle"]] * 40 + [["a beagle"], ["a teapot"]] * 20
    sure = [0.95] * 40 + [0.55] * 40
    choice, said = fit_confidence(embedder, [referenced(texts, sure=sure)])
    assert choice.confidence is not None
    assert choice.answer.confidence is None
    assert choice.named == 1.0  # how a candidate is chosen stays
    speaks = lambda named: np.dot(choice.confidence, [1.0, 1.0, -1.0, named, 1 - named])  # noqa: E731
    share = lambda named: 1 / (1 + np.exp(-speaks(named)))  # noqa: E731
    assert share(0.95) > 0.9
    assert share(0.55) == pytest.approx(0.5, abs=0.1)
    assert said[0].startswith("confidence of captions: fitted on 80 validation images, 60 of them right")
    assert said[1].startswith("no confidence of answers: 0 validation images")


def test_references_of_other_images_teach_no_confidence_in_the_encoder(embedder):
    """The control: how sure the encoder is says nothing of what is right."""
    texts = [["a beagle"], ["a teapot"]] * 40
    choice, _ = fit_confidence(embedder, [referenced(texts, sure=[0.95] * 40 + [0.55] * 40)])
    speaks = [np.dot(choice.confidence, [1.0, 1.0, -1.0, named, 1 - named]) for named in (0.95, 0.55)]
    assert speaks == pytest.approx([0.0, 0.0], abs=0.1)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([["a beagle"]] * 10 + [["a teapot"]] * 10, id="too few"),
        pytest.param([["a beagle"]] * 80, id="none is wrong"),
        pytest.param([["it is on the way to the other one"]] * 80, id="no names"),
    ],
)
def test_too_little_leaves_the_confidence_off_and_says_so(embedder, texts):
    old = embedder.model.y_decoder.config
    old.choice = old.choice.model_copy(update={"confidence": [0.0] * 5})  # of the decoder that it started from
    choice, said = fit_confidence(embedder, [referenced(texts, sure=[0.9] * len(texts))])
    assert choice.confidence is None
    assert said[0].startswith("no confidence of captions: ")


def test_answers_are_right_word_for_word(embedder):
    texts = [["a beagle", "it"]] * 30 + [["a dog"]] * 30
    queries = ["what is this?"] * 60
    choice, said = fit_confidence(embedder, [referenced(texts, sure=[0.9] * 60, queries=queries)])
    assert choice.confidence is None
    assert len(choice.answer.confidence) == 3
    assert said[1] == "confidence of answers: fitted on 60 validation images, 30 of them right."
