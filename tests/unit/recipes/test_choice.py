"""How the choice among candidates is fitted."""

from types import SimpleNamespace

import numpy as np
import pytest

from recipes.mini.choice import Captioned, Named, fit, logistic
from vljepa.configs import ChoiceConfig
from vljepa.inference.words import Evidence
from vljepa.processing.taxonomy import Taxonomy

TAXONOMY = Taxonomy.of("imagenet-1k")
BEAGLE, HUSKY = (TAXONOMY.classes_of(name)[0] for name in ("beagle", "Siberian husky"))


def evidence(agreement, named, *, phrase=False):
    return Evidence(agreement, -1.0, named, 0.0, False, phrase)


def candidates(texts, evidence, classes=None):
    def chosen(config):
        return [max(range(len(some)), key=lambda place: some[place].score(config)) for some in evidence]

    return SimpleNamespace(texts=texts, evidence=evidence, chosen=chosen, classes_NK=classes)


def test_logistic_regression_finds_the_weights_of_the_draw():
    random = np.random.default_rng(0)
    values = np.column_stack([np.ones(4000), random.normal(size=(4000, 2))])
    right = (random.random(4000) < 1 / (1 + np.exp(-(values @ [0.5, 2.0, -1.0])))).astype(float)
    assert logistic(values, right) == pytest.approx([0.5, 2.0, -1.0], abs=0.25)


def test_names_are_chosen_as_far_as_they_must_be_and_captions_otherwise():
    """The plain caption is better by CIDEr-D and agreement; only the name is right on the named image."""
    both = [evidence(0.5, 0.0), evidence(0.4, 0.9)]
    photos = Captioned(candidates([["plain", "a beagle"]] * 3, [both] * 3), np.array([[1.0, 0.2]] * 3))
    classes = np.zeros((4, 1000), dtype=np.float32)
    classes[:, BEAGLE], classes[:, HUSKY] = 0.5, 0.45
    rows = [{"names": ["beagle"], "wider": ["hound", "dog"]}] * 4
    named = Named(
        candidates([["plain", "a beagle"]] * 4, [both] * 4, classes),
        rows,
        [[False, True]] * 4,
        [[False, True]] * 4,
    )
    base = ChoiceConfig(candidates=2)
    least, report = fit({"photos": photos, "emoji": photos}, named, base, least=1.0)
    assert report["named/strict"] == 1.0
    assert least.named > 0
    free, report = fit({"photos": photos, "emoji": photos}, named, base, least=0.0)
    assert report["photos/cider"] == 1.0
    # Nothing that was chosen is right, and both breeds are dogs: the fallback says so.
    assert report["named/lenient with fallback"] == 1.0
    assert free.fallback > 0
