"""Answers in words against cases worked by hand from the official scripts' rules."""

from __future__ import annotations

import pytest

from vljepa.metrics.vqa import (
    count_of,
    exact_match,
    normalise_answer,
    pair_accuracy,
    pope,
    tally_accuracy,
    vqa_v2_score,
    yes_or_no,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Cat", "cat"),
        ("a  big\ndog\t", "big dog"),
        ("ten", "10"),
        ("none", "0"),
        ("dont", "don't"),
        ("shouldntve", "shouldntve"),  # lacks both apostrophes: the script has no such entry
        ("shouldnt've", "shouldn't've"),
        ("somebody'd", "somebodyd"),  # the one entry that goes the other way
        ("t-shirt", "t shirt"),  # a mark between letters becomes a space
        ("yes, sir", "yes sir"),  # a mark beside a space goes
        ("1,000", "1000"),
        ("red/white 1,000", "redwhite 1000"),  # a thousands comma anywhere, and every mark goes
        ("3.5", "3.5"),
        ("st.", "st"),
        ("", ""),
    ],
)
def test_answers_are_normalised_by_the_rules_of_vqav2(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


@pytest.mark.parametrize(("agreeing", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_agreement_of_ten_people_becomes_the_published_scores(agreeing: int, score: float) -> None:
    people = ["cat"] * agreeing + [f"other {number}" for number in range(10 - agreeing)]
    assert vqa_v2_score("cat", people) == pytest.approx(score)


def test_texts_are_normalised_only_where_people_differ() -> None:
    assert vqa_v2_score("the cat", ["cat"] * 9 + ["dog"]) == 1.0
    assert vqa_v2_score("the cat", ["cat"] * 10) == 0.0
    assert vqa_v2_score("cat", ["cat"] * 10) == 1.0


def test_exact_match_is_up_to_normalisation() -> None:
    assert exact_match("Two", ["2"])
    assert not exact_match("two dogs", ["2"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("Three!", 3), ("there are twelve", 12), ("zero", 0), ("2 or 3", None), ("two, 2", 2), ("", None)],
)
def test_counts_are_read_from_digits_and_words(text: str, number: int | None) -> None:
    assert count_of(text) == number


def test_tally_is_split_into_simple_and_complex() -> None:
    figures = tally_accuracy(["1", "two", "5", "no idea"], [1, 2, 4, 0], simple=[True, True, True, False])
    assert figures == {"simple": pytest.approx(2 / 3), "complex": 0.0, "all": 0.5}
    assert "complex" not in tally_accuracy(["1"], [1], simple=[True])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("No, it is red", "no"),
        ("There is not one", "no"),
        ("NO", "yes"),  # the official parser knows three spellings
        ("nothing", "yes"),
        ("Yes. No", "yes"),  # the first sentence counts
        ("", "yes"),
    ],
)
def test_yes_and_no_are_read_as_by_the_official_parser(text: str, read: str) -> None:
    assert yes_or_no(text) == read


def test_pope_gives_all_five_figures() -> None:
    """PITFALLS 25: accuracy and F1 are different numbers."""
    said, labels = ["yes", "yes", "yes", "no", "no"], ["yes", "no", "yes", "yes", "no"]
    assert pope(said, labels) == {
        "accuracy": pytest.approx(0.6),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "yes_rate": pytest.approx(0.6),
    }
    always = pope(["yes"] * 4, ["yes", "no"] * 2)
    assert (always["accuracy"], always["yes_rate"]) == (0.5, 1.0)
    assert always["f1"] == pytest.approx(2 / 3)
    assert pope(["no"] * 2, ["yes", "no"])["f1"] == 0


def test_a_pair_counts_when_all_of_it_is_right() -> None:
    assert pair_accuracy([True, True, True, False], ["a", "b", "a", "b"]) == 0.5
