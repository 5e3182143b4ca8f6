"""Entities that are drawn for texts."""

import numpy as np
import pytest
import torch

from vljepa.data.entities import NOUN_IS_FIRST, STRENGTH, EntityEstimate
from vljepa.processing.taxonomy import Concept, Taxonomy

DOG = Concept(("dog",), (0, 1, 2))
TAXONOMY = Taxonomy(
    [("beagle",), ("husky",), ("corgi",), ("teapot",), ("castle",), ("canoe",)], [(DOG,)] * 3 + [()] * 3
)
PLACES = torch.eye(6)
TEXTS = {"a husky in the snow": PLACES[1], "a dog in the snow": PLACES[:3].sum(0), "rain": PLACES.sum(0)}


def embed(texts):
    return torch.nn.functional.normalize(torch.stack([TEXTS[text] for text in texts]), dim=-1)


def drawn(text, count=400, **changes):
    estimate = EntityEstimate(TAXONOMY, **{"names_KD": PLACES, "embed": embed, "count": 3, **changes})
    return estimate([text] * count, seeds=range(count))


def test_a_name_in_the_text_is_mostly_first_and_sure():
    found = drawn("a husky in the snow")
    first = found.numbers_BN[:, 0]
    assert (first == 1).float().mean() == pytest.approx(1.0, abs=0.02)  # it is the nearest anyway
    a, b = STRENGTH[True]
    assert found.strengths_BN[:, 0].mean() == pytest.approx(a / (a + b), abs=0.08)


def test_a_hypernym_stands_for_any_of_its_classes_and_is_less_sure():
    found = drawn("a dog in the snow")
    counts = np.bincount(found.numbers_BN[:, 0].numpy(), minlength=6)
    assert (counts[:3] > 80).all()
    a, b = STRENGTH[False]
    assert found.strengths_BN[:, 0].mean() == pytest.approx(a / (a + b), abs=0.08)


def test_a_noun_is_told_far_oftener_than_chance_and_not_always(monkeypatch):
    """The text is near to every name alike, so that only its noun speaks."""
    monkeypatch.setitem(TEXTS, "a canoe, raining", PLACES.sum(0))
    first = drawn("a canoe, raining").numbers_BN[:, 0]
    assert (first == 5).float().mean() == pytest.approx(NOUN_IS_FIRST[True] + 0.1 / 6, abs=0.05)
    assert (drawn("rain").numbers_BN[:, 0] == 5).float().mean() < 0.3


def test_strengths_descend_and_sum_to_at_most_one_and_names_differ():
    found = drawn("a dog in the snow")
    assert (found.strengths_BN.diff(dim=1) <= 0).all()
    assert (found.strengths_BN.sum(1) <= 1 + 1e-6).all()
    assert all(len(set(row)) == 3 for row in found.numbers_BN.tolist())


def test_a_draw_is_a_function_of_text_and_seed():
    estimate = EntityEstimate(TAXONOMY, names_KD=PLACES, embed=embed, count=3)
    texts = ["a dog in the snow", "rain"]
    one, two = estimate(texts, seeds=[7, 8]), estimate(texts[::-1], seeds=[8, 7])
    assert torch.equal(one.numbers_BN, two.numbers_BN.flip(0))
    assert torch.equal(one.strengths_BN, two.strengths_BN.flip(0))
    assert not torch.equal(one.strengths_BN, estimate(texts, seeds=[9, 10]).strengths_BN)


def test_of_fewer_names_than_entities_all_are_drawn():
    found = EntityEstimate(TAXONOMY, names_KD=PLACES, embed=embed, count=9)(["rain"], seeds=[1])
    assert sorted(found.numbers_BN[0].tolist()) == list(range(6))
