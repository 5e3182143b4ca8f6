"""Do captions name the thing: what counts as right, wrong and sure."""

import numpy as np
import pytest

from eval.tasks.naming import _groups, coverage
from vljepa.processing.taxonomy import Taxonomy
from vljepa.validation.naming import name_marks

TAXONOMY = Taxonomy.of("imagenet-1k")


def marks(text: str, names: list[str], wider: list[str]) -> tuple[float, float, float]:
    found = name_marks([text], [names], [wider], TAXONOMY)
    return found["strict"][0], found["lenient"][0], found["wrong"][0]


def test_a_name_a_wider_name_and_a_wrong_one() -> None:
    names, wider = ["Persian cat"], ["domestic cat", "cat", "feline"]
    assert marks("a Persian cat on a couch", names, wider) == (1, 1, 0)
    assert marks("two cats", names, wider) == (0, 1, 0)
    assert marks("a tabby on a couch", names, wider) == (0, 0, 1)
    assert marks("a Persian cat and a beagle", names, wider) == (1, 1, 1)
    assert marks("a sunny day", names, wider) == (0, 0, 0)


def test_a_word_inside_a_right_name_is_not_wrong() -> None:
    assert marks("a fire engine", ["fire engine"], ["truck"]) == (1, 1, 0)


def test_coverage_is_how_many_stay_at_the_precision() -> None:
    right = np.array([1.0] * 9 + [0.0] + [0.0] * 10)
    found = coverage(np.linspace(1, 0, 20), right)
    assert found["coverage"] == pytest.approx(0.5)
    assert found["least_confidence"] == pytest.approx(np.linspace(1, 0, 20)[9])
    assert found["curve"][-1] == [1.0, pytest.approx(0.45)]
    assert coverage(np.linspace(0, 1, 20), right)["coverage"] == 0  # the unsure are right: nothing is kept


def test_groups_hold_what_is_below_them() -> None:
    found = _groups([["beagle"], ["goldfish"]], {"strict": np.array([1.0, 0.0])}, TAXONOMY)
    assert found["dog"] == {"images": 1, "strict": 1.0}
    assert found["fish"] == {"images": 1, "strict": 0.0}
    assert "bird" not in found
