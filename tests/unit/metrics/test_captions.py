"""Against numbers recorded from pycocoevalcap 1.2 (Cider, Bleu(4), Rouge) on the items below, on 2026-11-24.

Its scorers take tokens joined by spaces; the items hold nothing else. Once, by hand, the scorers were compared on COCO
val2017 too (first caption against the next four, 5,000 images): CIDEr-D differs by at most 2e-15 per image.
"""

import numpy as np
import pytest

from vljepa.errors import DataError
from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length, rouge_l, tokenize

ITEMS = [
    (
        "a red circle on a white page",
        ["a red circle on a white page", "one red disc drawn on paper", "red circle in the middle"],
    ),
    (
        "a blue bar beside a square",
        ["a blue square beside a green bar", "a square and a bar", "blue square next to green bar"],
    ),
    (
        "two dogs run on the beach",
        ["two dogs run across the wet sand", "dogs running on a beach", "two brown dogs at the beach"],
    ),
    ("a man on a road", ["a woman rides her bike down the road", "a cyclist on a quiet road", "woman on a bike"]),
    (
        "the train waits at the station",
        ["an old train waits at the small station", "a train at a platform", "the train stands in the station"],
    ),
    (
        "a cup of coffee and cake and cake",
        ["a cup of coffee and a plate of cake", "coffee with cake on a table", "cake and a cup of coffee"],
    ),
    (
        "boats",
        ["three boats lie in the harbour at dusk", "boats in a harbour", "small boats tied up in the evening"],
    ),
    (
        "a cat on a laptop on a laptop on a laptop",
        ["a cat sleeps on top of a laptop", "sleeping cat on a computer", "a cat lying on a keyboard"],
    ),
    (
        "a purple elephant",
        ["a man throws a ball for a small dog", "man and dog playing with a ball", "a dog jumps for the ball"],
    ),
    (
        "a bowl of green apples on a wooden table",
        ["a bowl full of green apples", "green apples in a bowl", "some apples in a wooden bowl"],
    ),
    (
        "a tall clock tower",
        ["a tall clock tower under grey clouds", "clock tower on a cloudy day", "the tower has a big clock"],
    ),
    (
        "children in the sand build a castle",
        ["children build a castle of sand", "kids playing in the sand", "a sand castle made by children"],
    ),
]
CANDIDATES = [candidate for candidate, _ in ITEMS]
REFERENCES = [texts for _, texts in ITEMS]
CIDER = [4.1635375591, 2.3417464428, 2.258667543, 0.6322070249, 2.7845472297, 3.4400324339]
CIDER += [0.9244177819, 0.7964387777, 0.0, 2.3490047107, 3.0026169538, 2.419295221]
BLEU4, ROUGE_L = 0.426994777269428, 0.6294060503214821


def test_values_are_those_of_the_coco_evaluation():
    scores = CiderD(REFERENCES).scores(CANDIDATES)
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx(CIDER, abs=1e-9)
    assert bleu4(CANDIDATES, REFERENCES) == pytest.approx(BLEU4, abs=1e-8)  # it adds 1e-9 to its denominators
    assert rouge_l(CANDIDATES, REFERENCES) == pytest.approx(ROUGE_L, abs=1e-12)


def test_the_comparison_can_fail():
    """The control: without one item the weights, and so all values, are others."""
    shorter = CiderD(REFERENCES[:-1]).scores(CANDIDATES[:-1])
    assert np.abs(shorter[:8] - CIDER[:8]).min() > 1e-3
    assert bleu4(CANDIDATES[:-1], REFERENCES[:-1]) != pytest.approx(BLEU4, abs=1e-3)


def test_any_pair_can_be_scored_and_items_do_not_leak_into_each_other():
    scorer, alone = CiderD(REFERENCES), len(ITEMS)
    for item in range(alone):
        swapped = [CANDIDATES[(place + item) % alone] for place in range(alone)]
        assert [scorer.score(place, text) for place, text in enumerate(swapped)] == scorer.scores(swapped).tolist()
    assert scorer.score(4, CANDIDATES[3]) != pytest.approx(CIDER[3], abs=1e-3)


def test_more_references_are_averaged_not_summed():
    twice = CiderD([texts * 2 for texts in REFERENCES])
    assert twice.scores(CANDIDATES).tolist() == pytest.approx(CIDER, abs=1e-9)


def test_a_reference_said_again_is_best_and_another_item_s_is_worse():
    said = CiderD(REFERENCES).scores([texts[0] for texts in REFERENCES])
    swapped = CiderD(REFERENCES).scores([texts[0] for texts in REFERENCES[1:] + REFERENCES[:1]])
    assert (said > swapped).all()
    assert bleu4([texts[0] for texts in REFERENCES], REFERENCES) == pytest.approx(1.0)
    assert rouge_l([texts[1] for texts in REFERENCES], REFERENCES) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_items_are_refused(count):
    """PITFALLS 24: of one item, every weight is log(1) = 0."""
    with pytest.raises(DataError, match=rf"{count} item.*0 by construction"):
        CiderD(REFERENCES[:count])
    assert CiderD(REFERENCES[:2]).scores(CANDIDATES[:2]).min() > 0


def test_an_item_without_references_is_refused():
    for call in (lambda: CiderD([["a"], []]), lambda: bleu4(["a"], [[]]), lambda: rouge_l(["a"], [[]])):
        with pytest.raises(DataError):
            call()


def test_constant_captions_are_told_by_their_distinct_share():
    constant = ["a man on a road."] * len(ITEMS)
    assert distinct_share(constant) == pytest.approx(1 / len(ITEMS))
    assert distinct_share(CANDIDATES) == 1.0
    assert distinct_share(["A cat.", "a cat"]) == 0.5
    assert distinct_share([]) == 0.0


def test_lengths_and_no_words_at_all():
    assert mean_length(["a cat.", "the small red dog"]) == 3.0
    assert mean_length([]) == 0.0
    assert CiderD(REFERENCES[:2]).scores(["", "..."]).tolist() == [0.0, 0.0]
    assert bleu4(["", ""], REFERENCES[:2]) == 0.0
    assert rouge_l(["", ""], REFERENCES[:2]) == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's dog isn't here.", "a man 's dog is n't here"),
        ("Red, green; and (blue)!", "red green and blue"),
        ("It is 6:55, or 5:1 at most: late", "it is 6:55 or 5:1 at most late"),
        ("two  dogs\n run", "two dogs run"),
        ("a well-known t-shirt", "a well-known t-shirt"),
        ("...", ""),
    ],
)
def test_words_are_split_as_the_treebank_does(text, words):
    assert " ".join(tokenize(text)) == words
