"""How the choice among candidates is fitted."""

from types import SimpleNamespace

import numpy as np

from recipes.mini.choice import Captioned, Named, fit
from vljepa.configs import ChoiceConfig
from vljepa.inference.words import Evidence


def evidence(agreement, named, *, phrase=False):
    return Evidence(agreement, -1.0, named, 0.0, phrase)


def candidates(texts, evidence):
    def chosen(config):
        return [max(range(len(some)), key=lambda place: some[place].score(config)) for some in evidence]

    def captions(config):
        return [some[place] for some, place in zip(texts, chosen(config), strict=True)]

    return SimpleNamespace(texts=texts, evidence=evidence, chosen=chosen, captions=captions)


def test_names_are_chosen_as_far_as_they_must_be_and_captions_otherwise():
    """The plain caption is better by CIDEr-D and agreement; only the name is right on the named image."""
    both, words = [evidence(0.5, 0.0), evidence(0.4, 0.9)], ["plain", "a beagle"]
    scorer = SimpleNamespace(scores=lambda texts: np.array([float(text == "plain") for text in texts]))
    photos = Captioned(candidates([words] * 3, [both] * 3), np.array([[1.0, 0.2]] * 3), scorer)
    rows = [{"names": ["beagle"], "wider": ["hound", "dog"]}] * 4
    marks = {"strict": np.array([0.0, 1.0]), "lenient": np.array([0.0, 1.0])}
    named = Named(candidates([words] * 4, [both] * 4), rows, [marks] * 4)
    base, sources = ChoiceConfig(candidates=2), {"photos": photos, "emoji": photos}
    bound, report = fit(sources, named, base, least=1.0)
    assert (report["named/strict"], report["named/wrong"], report["photos/cider"]) == (1.0, 0.0, 0.0)
    assert bound.named > 0
    free, report = fit(sources, named, base, least=0.0)
    assert (report["photos/cider"], report["named/strict"]) == (1.0, 0.0)
    assert free.agreement > free.named
