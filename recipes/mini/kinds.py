"""What kind of thing an emoji shows, in words a person would use, from the groups of emojibase."""

from __future__ import annotations

from recipes.mini.emoji import Emoji
from recipes.mini.word_lists import read_words

_WORDS = read_words("kinds")
KINDS: dict[str, str] = {subgroup: kind for kind, subgroups in _WORDS["kinds"].items() for subgroup in subgroups}
"""Coarse kinds, by subgroup."""
NOT_THIS_KIND: dict[str, list[str]] = _WORDS["not_this_kind"]
NO_CLEAR_NO: dict[str, list[str]] = _WORDS["no_clear_no"]
ANIMALS: dict[str, str] = _WORDS["animals"]
FOODS: dict[str, str] = _WORDS["foods"]
ARTICLES: dict[str, str] = _WORDS["articles"]


def kind_of(emoji: Emoji) -> str:
    """Return the coarse kind of an emoji, "" when it has none."""
    kind = KINDS.get(emoji.subgroup, "")
    return "" if emoji.concept in NOT_THIS_KIND.get(kind, ()) else kind


def animal_of(emoji: Emoji) -> str:
    """Return "insect", "reptile" ... for an animal, else ""."""
    return ANIMALS.get(emoji.subgroup, "") if kind_of(emoji) == "animal" else ""


def food_of(emoji: Emoji) -> str:
    """Return "fruit", "vegetable" ... for food, else ""."""
    return FOODS.get(emoji.subgroup, "")
