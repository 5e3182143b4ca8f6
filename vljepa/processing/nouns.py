"""Nouns in captions: which classes they mean, and how a name becomes a phrase."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.text import normalise_text

_LONGEST = 4
_WORD = re.compile(r"[A-Za-z'-]+")
_VOWELS = ("a", "e", "i", "o", "u")
_SOUNDS_LIKE_AN = ("hour", "honest", "heir")
_IRREGULAR = {"sheep": "sheep", "fish": "fish", "bison": "bison", "mouse": "mice", "goose": "geese", "ox": "oxen",
              "knife": "knives", "loaf": "loaves", "leaf": "leaves", "shelf": "shelves", "wolf": "wolves",
              "calf": "calves", "scarf": "scarves"}  # fmt: skip
_SOUNDS_LIKE_A = ("uni", "use", "eu", "one", "uke", "ute")


def names_in(text: str, taxonomy: Taxonomy) -> Iterator[str]:
    """Every phrase of a text that a taxonomy knows, in its order; of overlapping ones the longest.

    Example:
        >>> from vljepa.processing.taxonomy import Taxonomy
        >>> list(names_in("Two dogs with a hot dog on the street.", Taxonomy.of("imagenet-1k")))
        ['dogs', 'hot dog']
    """
    words = _WORD.findall(text.lower())
    place = 0
    while place < len(words):
        sizes = range(min(_LONGEST, len(words) - place), 0, -1) if words[place] not in ("a", "an", "the") else ()
        phrases = (" ".join(words[place : place + size]) for size in sizes)
        name = next((phrase for phrase in phrases if taxonomy.classes_of(phrase)), None)
        if name is not None:
            yield name
        place += 1 if name is None else name.count(" ") + 1


def classes_in(text: str, taxonomy: Taxonomy) -> Iterator[tuple[int, ...]]:
    """For every phrase of a text that a taxonomy knows, the longest first: numbers of the classes that it may mean.

    Example:
        >>> from vljepa.processing.taxonomy import Taxonomy
        >>> [len(classes) for classes in classes_in("a beagle and two cats", Taxonomy.of("imagenet-1k"))]
        [1, 13]
    """
    return (taxonomy.classes_of(name) for name in names_in(text, taxonomy))


def article_of(name: str) -> str:
    """`a` or `an`, by how a name begins."""
    low = name.lower()
    vowel = low.startswith(_VOWELS) and not low.startswith(_SOUNDS_LIKE_A)
    return "an" if vowel or low.startswith(_SOUNDS_LIKE_AN) else "a"


def with_article(name: str) -> str:
    """A name behind its article.

    Example:
        >>> with_article("airedale"), with_article("unicycle"), with_article("hourglass")
        ('an airedale', 'a unicycle', 'an hourglass')
    """
    return f"{article_of(name)} {name}"


def plural_of(name: str) -> str:
    """Plural of a name.

    Example:
        >>> [plural_of(name) for name in ("husky", "fox", "snow leopard", "sheep", "fireman")]
        ['huskies', 'foxes', 'snow leopards', 'sheep', 'firemen']
    """
    first, _, last = name.rpartition(" ")
    low = last.lower()
    if low in _IRREGULAR:
        changed = _IRREGULAR[low]
    elif low.endswith("s") and not low.endswith("ss"):
        changed = last
    elif low.endswith(("ss", "x", "ch", "sh", "z")):
        changed = f"{last}es"
    elif low.endswith("y") and low[-2:-1] not in "aeiou":
        changed = f"{last[:-1]}ies"
    elif low.endswith("man"):
        changed = f"{last[:-3]}men"
    else:
        changed = f"{last}s"
    return f"{first} {changed}".strip()


def holds(text: str, names: Iterable[str]) -> bool:
    """Whether a text holds one of some names, as whole words, in the singular or the plural.

    Example:
        >>> holds("Two huskies.", ["Siberian husky", "husky"]), holds("a cathedral", ["cat"])
        (True, False)
    """
    padded = f" {normalise_text(text)} "
    return any(form in padded for name in names for form in _forms(name))


@lru_cache(maxsize=8192)
def _forms(name: str) -> tuple[str, str]:
    """A name in the singular and the plural, as it stands between blanks."""
    one = normalise_text(name)
    return f" {one} ", f" {plural_of(one)} "
