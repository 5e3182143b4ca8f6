"""Captions that name the X-Encoder's classes: real captions in which a noun gives way to a hyponym of it.

"a dog on a couch" makes a caption of every breed. A class whose own hypernyms stand in few captions takes the place of
other things below the nearest hypernym that has enough of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from recipes.mini.records import stable_key
from recipes.mini.word_lists import read_words
from vljepa.processing.nouns import article_of, plural_of, with_article
from vljepa.processing.taxonomy import Taxonomy

ROWS_PER_CLASS = 8
ENOUGH = 24
"""Captions with one noun below a hypernym, from which on they need not come from a wider one."""
WIDEST = 120
"""Classes that a noun may mean to stand for one of them."""
_WORDS = read_words("named_texts")
_LONGEST = 3


class NamedTexts(TypedDict):
    """Captions of one image with the name of a class in them."""

    text: list[str]
    label: str
    source_id: str


@dataclass(frozen=True)
class Noun:
    """A noun of a caption, with what is said before and after it.

    Args:
        before: The caption up to the noun, without colours right before it.
        after: The caption behind it.
        plural: Whether there are several.
        classes: Numbers of the classes that it may mean.
    """

    before: str
    after: str
    plural: bool
    classes: frozenset[int]

    def with_name(self, name: str) -> str:
        """The caption with another noun; article and number agree."""
        before = self.before if self.plural else agreeing(self.before, name)
        text = f"{before} {plural_of(name) if self.plural else name}{self.after}"
        return " ".join(text.split())


class Substitution:
    """Puts the names of a taxonomy's classes into captions.

    Args:
        rows: Captions by image, `text` and `source_id`.
        taxonomy: Names and hypernyms of the classes.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], taxonomy: Taxonomy) -> None:
        self.rows = rows
        self.taxonomy = taxonomy
        self._by_class: defaultdict[int, list[tuple[int, Noun]]] = defaultdict(list)
        for number, row in enumerate(rows):
            for text in row["text"]:
                for noun in nouns(text, taxonomy):
                    for one in noun.classes:
                        self._by_class[one].append((number, noun))

    def texts(self, number: int) -> tuple[list[NamedTexts], int]:
        """Rows for a class, and how many classes are below the hypernym whose captions they come from."""
        name = self.taxonomy.names_of(number)[0]
        found, width = self._nouns(number)
        chosen = sorted(found, key=lambda row: stable_key("named", name, self.rows[row]["source_id"]))
        chosen.sort(key=lambda row: -min(2, len(found[row])))
        rows = []
        for row in chosen[:ROWS_PER_CLASS]:
            texts = list(dict.fromkeys(noun.with_name(name) for noun in found[row]))
            if len(texts) == 1:  # one to see and one to say
                texts.append(with_article(name))
            rows.append(NamedTexts(text=texts, label=name, source_id=self.rows[row]["source_id"]))
        return rows, width

    def _nouns(self, number: int) -> tuple[dict[int, list[Noun]], int]:
        """By image, the nouns that may give way to a class, below the nearest hypernym that has enough."""
        found: dict[int, list[Noun]] = {}
        concepts = [(number,), *(concept.classes for concept in self.taxonomy.hypernyms_of(number))]
        for classes in concepts:
            allowed, found = set(classes), {}
            for other in classes:
                for row, noun in self._by_class[other]:
                    # `a dog` may be said of any breed; `an animal` is too wide to stand for one.
                    if noun.classes <= allowed or (number in noun.classes and len(noun.classes) <= WIDEST):
                        several = found.setdefault(row, [])
                        if noun not in several:
                            several.append(noun)
            if sum(map(len, found.values())) >= ENOUGH:
                return found, len(classes)
        return found, len(self.taxonomy)


def nouns(text: str, taxonomy: Taxonomy) -> Iterator[Noun]:
    """Nouns of a caption that mean some of the classes and are the head of their phrase."""
    words = list(re.finditer(r"[A-Za-z'-]+", text))
    place = 0
    while place < len(words):
        for size in range(min(_LONGEST, len(words) - place), 0, -1):
            first, last = words[place], words[place + size - 1]
            phrase = text[first.start() : last.end()].lower()
            classes = taxonomy.classes_of(phrase)
            if not classes or words[place].group().lower() in _WORDS["determiners"]:
                continue
            made = None if phrase in _WORDS["no_nouns"] else _noun(text, words, place, size, classes)
            if made is not None:
                yield made
            place += size
            break
        else:
            place += 1


def _noun(text: str, words: Sequence[re.Match[str]], place: int, size: int, classes: tuple[int, ...]) -> Noun | None:
    last = words[place + size - 1]
    if place + size < len(words) and not text[last.end() : words[place + size].start()].strip():
        follower = words[place + size].group().lower()
        if follower not in _WORDS["follow"] and not follower.endswith(("ing", "ed")):
            return None
    start = place
    while start > 0 and _said_of(words, start, _WORDS["colours"]):
        start -= 1
    noun = text[words[place].start() : last.end()].lower()
    first = start
    while first > 0 and _said_of(words, first, _WORDS["adjectives"]):
        first -= 1
    before = words[first - 1].group().lower() if first > 0 else ""
    plural = noun.endswith("s") and not noun.endswith("ss") and before not in ("a", "an", "one")
    allowed = _WORDS["determiners"] + (_WORDS["numbers"] + _WORDS["before_plurals"] if plural else [])
    if before not in allowed:
        return None
    return Noun(text[: words[start].start()].rstrip(), text[last.end() :], plural, frozenset(classes))


def _said_of(words: Sequence[re.Match[str]], place: int, some: Sequence[str]) -> bool:
    """Whether the word before a place is one of some, or the `and` between two of them."""
    word = words[place - 1].group().lower()
    return word in some or (word == "and" and place > 1 and words[place - 2].group().lower() in some)


def agreeing(before: str, name: str) -> str:
    """Words before a noun; a closing `a` or `an` agrees with the noun."""
    head, _, article = before.rpartition(" ")
    if article.lower() not in ("a", "an"):
        return before
    right = article_of(name)
    return f"{head} {right.capitalize() if article[0].isupper() else right}".strip()
