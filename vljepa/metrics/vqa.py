"""Answers in words: VQAv2's soft accuracy, counts, POPE's yes and no. Everything in the official scripts' own rules.

A score is a share, 0 to 1. Answers are compared as text, so nothing here knows of embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
    he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
    somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
    that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've
    we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's
    who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've
    you'll you're you've
""".split()  # noqa: SIM905
# What lacks one apostrophe gets it, and the script has one entry that goes the other way.
_CONTRACTIONS = {"somebody'd": "somebodyd"} | {
    word[:place] + word[place + 1 :]: word
    for word in _APOSTROPHES
    for place, letter in enumerate(word)
    if letter == "'"
}

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(number) for number, word in enumerate(NUMBER_WORDS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_THOUSANDS = re.compile(r"\d,\d")
_COUNT = re.compile(r"\d+")
_COUNT_WORDS = {word: number for number, word in enumerate(NUMBER_WORDS)} | {
    word: number
    for number, word in enumerate(
        (
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ),
        start=11,
    )
}


def normalise_answer(text: str) -> str:
    """An answer as VQAv2's script compares it: no punctuation or articles, digits for numbers, whole contractions.

    Example:
        >>> normalise_answer("The two dogs!"), normalise_answer("dont"), normalise_answer("1,000")
        ('2 dogs', "don't", '1000')
    """
    flat = _one_line(text)
    joined = _THOUSANDS.search(flat) is not None
    spaced = {mark for mark in _PUNCTUATION if f"{mark} " in flat or f" {mark}" in flat}
    bare = flat.translate({ord(mark): None if joined or mark in spaced else " " for mark in _PUNCTUATION})
    words = [_DIGITS.get(word, word) for word in _PERIOD.sub("", bare).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_v2_score(answer: str, answers: Sequence[str]) -> float:
    """Soft accuracy of one answer: mean over each person left out of min(1, agreeing others / 3).

    With ten people and 1, 2, 3 or at least 4 that agree, that is 0.3, 0.6, 0.9 or 1. Punctuation, digits and articles
    are normalised only where the people differ among themselves, as by the official script.

    Args:
        answer: The model's answer.
        answers: What people answer, ten in VQAv2; at least two.

    Example:
        >>> round(vqa_v2_score("cat", ["cat"] * 2 + ["dog"] * 8), 6)
        0.6
    """
    assert len(answers) >= 2, answers
    flat, guess = [_one_line(one) for one in answers], _one_line(answer)
    if len(set(flat)) > 1:
        flat, guess = [normalise_answer(one) for one in flat], normalise_answer(guess)
    same = [one == guess for one in flat]
    agreeing = sum(same)
    return float(np.mean([min(1.0, (agreeing - one) / 3) for one in same]))


def exact_match(answer: str, answers: Sequence[str]) -> bool:
    """Whether an answer equals one of the right ones after `normalise_answer`, as for GQA."""
    return normalise_answer(answer) in {normalise_answer(one) for one in answers}


def count_of(text: str) -> int | None:
    """The number that an answer says, in digits or in words up to twenty; None where it says none, or two.

    Example:
        >>> count_of("There are three."), count_of("12 birds"), count_of("many")
        (3, 12, None)
    """
    words = re.findall(r"[a-z]+|\d+", text.lower())
    numbers = {int(word) if _COUNT.fullmatch(word) else _COUNT_WORDS.get(word) for word in words} - {None}
    return next(iter(numbers)) if len(numbers) == 1 else None


def tally_accuracy(predictions: Sequence[str], counts: Sequence[int], *, simple: Sequence[bool]) -> dict[str, float]:
    """TallyQA: share of right counts among simple and complex questions and all (arXiv 1810.12440).

    Returns:
        `simple`, `complex` (each only where there are such questions) and `all`.
    """
    assert len(predictions) == len(counts) == len(simple) > 0, (len(predictions), len(counts), len(simple))
    right = np.array([count_of(text) == count for text, count in zip(predictions, counts, strict=True)])
    plain = np.array(simple, dtype=bool)
    parts = {"simple": right[plain], "complex": right[~plain], "all": right}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}


def yes_or_no(text: str) -> Literal["yes", "no"]:
    """POPE's official reading of an answer: no if the first sentence has the word no or not, else yes.

    Example:
        >>> yes_or_no("No, there is not."), yes_or_no("Yes."), yes_or_no("I cannot tell"), yes_or_no("")
        ('no', 'yes', 'yes', 'yes')
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def pope(predictions: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """The five figures of POPE (arXiv 2305.10355), with yes as the positive class.

    Args:
        predictions: Answers, read by `yes_or_no`.
        labels: "yes" or "no" for each.

    Returns:
        `accuracy`, `precision`, `recall`, `f1` and `yes_rate`, the share of answers that say yes. Without a yes among
        the answers, precision is 0.
    """
    assert len(predictions) == len(labels) > 0, (len(predictions), len(labels))
    assert set(labels) <= {"yes", "no"}, sorted(set(labels))
    answered = np.array([yes_or_no(text) == "yes" for text in predictions])
    true = np.array([label == "yes" for label in labels])
    hits = float((answered & true).sum())
    precision, recall = hits / max(1, answered.sum()), hits / max(1, true.sum())
    return {
        "accuracy": float((answered == true).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / (precision + recall)) if hits else 0.0,
        "yes_rate": float(answered.mean()),
    }


def pair_accuracy(right: Sequence[bool], pairs: Sequence[str]) -> float:
    """Share of pairs of which every question is answered right, as in POPEv2: an original and its edited image.

    Args:
        right: Whether each question was answered right.
        pairs: Which pair each belongs to.
    """
    assert len(right) == len(pairs) > 0, (len(right), len(pairs))
    whole: dict[str, bool] = {}
    for one, pair in zip(right, pairs, strict=True):
        whole[pair] = whole.get(pair, True) and one
    return float(np.mean(list(whole.values())))


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
