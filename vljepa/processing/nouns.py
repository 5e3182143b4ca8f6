"""Nouns in captions: which classes they mean, and how a name becomes a phrase."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vljepa.processing.taxonomy import Taxonomy

_LONGEST = 4
_WORD = re.compile(r"[A-Za-z'-]+")
_VOWELS = ("a", "e", "i", "o", "u")
_SOUNDS_LIKE_AN = ("hour", "honest", "heir")
_SOUNDS_LIKE_A = ("uni", "use", "eu", "one", "uke", "ute")


def classes_in(text: str, taxonomy: Taxonomy) -> Iterator[tuple[int, ...]]:
    """For every phrase of a text that a taxonomy knows, the longest first: numbers of the classes that it may mean.

    Example:
        >>> from vljepa.processing.taxonomy import Taxonomy
        >>> [len(classes) for classes in classes_in("a beagle and two cats", Taxonomy.of("imagenet-1k"))]
        [1, 13]
    """
    words = _WORD.findall(text.lower())
    place = 0
    while place < len(words):
        for size in range(min(_LONGEST, len(words) - place), 0, -1):
            phrase = words[place : place + size]
            classes = () if phrase[0] in ("a", "an", "the") else taxonomy.classes_of(" ".join(phrase))
            if classes:
                yield classes
                place += size
                break
        else:
            place += 1


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
