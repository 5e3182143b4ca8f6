import math

import pytest
from PIL import Image

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
