"""How the choice among candidates is fitted."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recipes.mini.choice import DRAWINGS, Asked, Captioned, Named, common_answers, discriminant, fit
from vljepa.configs import AnswerChoiceConfig, ChoiceConfig
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


def test_drawings_are_told_from_photos_in_noise():
    noise = torch.Generator().manual_seed(0)
    draw = lambda count, place: torch.randn(count, 6, generator=noise).double() + torch.eye(6)[place] * 5  # noqa: E731
    weights = discriminant(draw(60, 0), draw(400, 1)).double()
    told = lambda rows: float(((rows @ weights[:-1] + weights[-1]) > 0).double().mean())  # noqa: E731
    assert told(draw(400, 1)) == pytest.approx(DRAWINGS, abs=0.03)
    assert told(draw(400, 0)) < 0.02
    assert float(weights[:-1].norm()) == pytest.approx(1.0, abs=1e-5)


def test_common_answers_are_those_of_several_rows_and_no_phrases(tmp_path):
    for source, answers in {
        "easy_vqa": ["Yes", "no", "no", "yes"],
        "emoji": ["tree", "tree", "owl"],
        "photos": [],
    }.items():
        (tmp_path / source).mkdir()
        lines = [json.dumps({"text": [answer]}) for answer in answers]
        (tmp_path / source / "questions.train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert common_answers(tmp_path, ["tree"]) == ["no", "yes"]


def test_the_best_answer_is_picked_by_the_weights():
    first, near = evidence(0.3, 0.0), evidence(0.4, 0.0, phrase=True)
    asked = Asked([[first, near]], np.array([[True, False]]), np.array([[1.0, 0.5]], dtype=np.float32))
    right, cosine, values = asked.picked(AnswerChoiceConfig(nearest=1, phrase=0.2))
    assert (right.tolist(), cosine.tolist(), values[0].tolist()) == ([True], [1.0], first.values())
    assert asked.picked(AnswerChoiceConfig(nearest=1))[0].tolist() == [False]
