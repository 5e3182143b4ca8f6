import math
from types import SimpleNamespace

import pytest
from PIL import Image

from vljepa.configs import AnswerPriorConfig, CalibrationConfig
from vljepa.errors import ConfigError
from vljepa.inference.vqa import ask

RED = Image.new("RGB", (2, 2), "#ff0000")


def test_the_question_decides_the_answer(model, processor):
    colours = ["red", "green"]

    [most] = ask(model, processor, RED, question="what colour is it?", choices=colours)
    [least] = ask(model, processor, RED, question="which colour is least here?", choices=colours)

    assert (most.label, least.label) == ("red", "green")


def test_its_temperature_is_that_of_questions(model, processor):
    [answer] = ask(model, processor, RED, question="what colour is it?", choices=["red", "green"])

    assert answer.confidence == pytest.approx(1 / (1 + math.exp(-1 / 0.5)))


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [(" ", ["red", "green"], "question is empty"), ("what colour is it?", ["red"], "choices has 1")],
)
def test_unusable_arguments(model, processor, question, choices, message):
    with pytest.raises(ConfigError, match=message):
        ask(model, processor, RED, question=question, choices=choices)


def with_prior(model):
    """Three of four training answers were green; the model's scores are cosines with a temperature of 0.5."""
    prior = AnswerPriorConfig(counts={"red": 1, "green": 3}, weight=0.6)
    calibration = CalibrationConfig(ask=0.5, answers=prior)
    model.config = SimpleNamespace(**{**vars(model.config), "calibration": calibration})
    return model


def confidence(model, processor, choices, **settings):
    [answer] = ask(model, processor, RED, question="what colour is it?", choices=choices, **settings)
    return answer.probabilities


@pytest.mark.parametrize("choices", [["red", "green"], ["green", "red"]])
def test_the_frequency_of_training_answers_counts_among_these(model, processor, choices):
    found = confidence(with_prior(model), processor, choices)
    advantage = (1 + 0.6 * math.log(1 / 4) - 0.6 * math.log(3 / 4)) / 0.5
    assert found["red"] == pytest.approx(1 / (1 + math.exp(-advantage)))


def test_own_choices_are_alike_likely_beforehand_unless_asked(model, processor):
    plain = confidence(model, processor, ["red", "blue"])
    biased = with_prior(model)
    assert confidence(biased, processor, ["red", "blue"]) == plain, "blue was no training answer"
    seen = confidence(biased, processor, ["red", "blue"], answer_prior=True)
    advantage = (1 + 0.6 * math.log(1 / 0.5)) / 0.5
    assert seen["red"] == pytest.approx(1 / (1 + math.exp(-advantage)), rel=1e-5)


def test_the_prior_can_be_switched_off(model, processor):
    plain = confidence(model, processor, ["red", "green"])
    assert confidence(with_prior(model), processor, ["red", "green"], answer_prior=False) == plain


def test_a_prior_is_not_asked_of_a_model_without_one(model, processor):
    with pytest.raises(ConfigError, match="this model has no frequencies of answers"):
        confidence(model, processor, ["red", "green"], answer_prior=True)
