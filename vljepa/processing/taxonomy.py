"""What the classes of a classifier are called: synonyms and hypernyms, from names to classes and back.

The table of ImageNet's classes is WordNet's (`imagenet_1k.tsv`, written by `recipes/mini/taxonomy.py`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

_IRREGULAR = {"people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
              "geese": "goose", "oxen": "ox", "teeth": "tooth", "feet": "foot"}  # fmt: skip
_BEFORE = re.compile(r"^(?:(?:an?|the) )?(?:(?:photo|picture|image)s? of )?(?:(?:an?|the) )?(?=.)")


@dataclass(frozen=True)
class Concept:
    """A class, or a hypernym of classes.

    Args:
        names: Its synonyms, the most common first.
        classes: Numbers of the classes that it is or that are below it, ascending.
    """

    names: tuple[str, ...]
    classes: tuple[int, ...]


class Taxonomy:
    """Names and hypernyms of a classifier's classes.

    Args:
        classes: Synonyms of every class, in the classifier's order.
        hypernyms: Of every class, nearest first: the same object for the same concept; none by default.

    Example:
        >>> taxonomy = Taxonomy.of("imagenet-1k")
        >>> taxonomy.names_of(207), taxonomy.hypernyms_of(207)[0].names
        (('golden retriever',), ('retriever',))
        >>> len(taxonomy.classes_of("dogs")), taxonomy.classes_of("a cell phone"), taxonomy.classes_of("giraffe")
        (118, (487,), ())
    """

    def __init__(
        self, classes: Sequence[tuple[str, ...]], hypernyms: Sequence[tuple[Concept, ...]] | None = None
    ) -> None:
        self._names = list(classes)
        self._hypernyms = list(hypernyms) if hypernyms is not None else [()] * len(self._names)
        assert len(self._hypernyms) == len(self._names)
        found: defaultdict[str, set[int]] = defaultdict(set)
        for number, names in enumerate(self._names):
            for name in names:
                found[_key(name)].add(number)
        for concept in dict.fromkeys(one for several in self._hypernyms for one in several):
            for name in concept.names:
                found[_key(name)].update(concept.classes)
        self._classes = {key: tuple(sorted(numbers)) for key, numbers in found.items()}
        self._singular = {singular: key for key in found for singular in _singulars(key)}

    @classmethod
    def of(cls, label_names: Literal["imagenet-1k"] | Sequence[str]) -> Taxonomy:
        """Taxonomy of a built-in list, or of texts with the synonyms of a class each, separated by commas."""
        if isinstance(label_names, str):
            return _imagenet()
        return cls([tuple(_synonyms(text)) for text in label_names])

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> tuple[str, ...]:
        """The most common name of every class."""
        return tuple(names[0] for names in self._names)

    def every_name(self) -> tuple[str, ...]:
        """All synonyms of the classes and of their hypernyms, each once."""
        wider = (name for several in self._hypernyms for concept in several for name in concept.names)
        return tuple(dict.fromkeys([*(name for names in self._names for name in names), *wider]))

    def names_of(self, number: int) -> tuple[str, ...]:
        """Synonyms of a class, the most common first."""
        return self._names[number]

    def hypernyms_of(self, number: int) -> tuple[Concept, ...]:
        """What a class is a kind of, nearest first, up to such as `animal`, `food` and `vehicle`."""
        return self._hypernyms[number]

    def classes_of(self, name: str) -> tuple[int, ...]:
        """Numbers of the classes that a name names or is wider than, ascending; () for a name that is not known.

        Case, articles, hyphens and blanks do not count, and a plural is its singular where it is no name itself. A name
        with several senses has the classes of all of them.
        """
        key = _key(name)
        for one in (key, self._singular.get(key, ""), *_singulars(key)):
            if one in self._classes:
                return self._classes[one]
        return ()


def _synonyms(text: str) -> Iterator[str]:
    yield from (one.strip() for one in text.split(",") if one.strip())


def _key(name: str) -> str:
    words = " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
    return "".join(letter for letter in _BEFORE.sub("", words) if letter.isalnum())


def _singulars(key: str) -> list[str]:
    """What a plural may be the plural of, its likeliest singular first."""
    for plural, singular in _IRREGULAR.items():
        if key.endswith(plural):
            return [key.removesuffix(plural) + singular]
    if key.endswith("ies"):
        return [key[:-3] + "y", key[:-1]]
    if key.endswith("ves"):
        return [key[:-3] + "f", key[:-3] + "fe", key[:-1]]
    if key.endswith(("ses", "xes", "ches", "shes", "oes")):
        return [key[:-2], key[:-1]]
    return [key[:-1]] if key.endswith("s") and not key.endswith("ss") and len(key) > 3 else []


@cache
def _imagenet() -> Taxonomy:
    text = files("vljepa.processing").joinpath("imagenet_1k.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    names = {synset: tuple(_synonyms(lemmas)) for synset, lemmas, _ in rows}
    above = {synset: hypernyms.split() for synset, _, hypernyms in rows}
    below = {hypernym for hypernyms in above.values() for hypernym in hypernyms}
    classes = [synset for synset, _, _ in rows][:1000]
    chains = [list(_nearest_first(synset, above)) for synset in classes]
    under: defaultdict[str, list[int]] = defaultdict(list)
    for number, chain in enumerate(chains):
        for synset in chain:
            under[synset].append(number)
        if classes[number] in below:
            under[classes[number]].append(number)
    concepts = {synset: Concept(names[synset], tuple(sorted(numbers))) for synset, numbers in under.items()}
    return Taxonomy([names[synset] for synset in classes], [tuple(concepts[one] for one in chain) for chain in chains])


def _nearest_first(synset: str, above: dict[str, list[str]]) -> Iterator[str]:
    waiting = list(above[synset])
    for one in waiting:
        yield one
        waiting += [other for other in above[one] if other not in waiting]
