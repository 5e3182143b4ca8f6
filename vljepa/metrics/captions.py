"""How good captions are: CIDEr-D, BLEU-4, ROUGE-L, and whether they differ from each other.

N items, each with one candidate and several references. Tokens follow the COCO caption evaluation, in plain Python:
lower-cased words, punctuation dropped. Its Penn Treebank tokenizer splits all but 40 of the 25,014 captions of COCO
val2017 in the same way; those hold an abbreviation with a full stop ("St.") or a sign such as "&". On equal tokens the
values are those of its scorers to the last few bits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import DataError

_TOKEN = re.compile(r"n't\b|'(?:s|m|d|ll|re|ve)\b|\d+:\d+|\w+(?:[-./]\w+)*(?=n't\b)|\w+(?:[-./]\w+)*")
_ORDERS = 4
_SIGMA = 6.0
_CACHED = 200_000

Grams = dict[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class _Weights:
    """A text as CIDEr-D sees it.

    Args:
        known: Number, order (from 0) and weight of each n-gram that some reference has.
        norms: Of the weights of all n-grams, per order.
        length: What the length penalty compares: the number of bigrams.
    """

    known: list[tuple[int, int, float]]
    norms: list[float]
    length: int


@dataclass(frozen=True, slots=True)
class _Item:
    """References of an item, read by n-gram: one look-up per n-gram of a candidate serves all of them."""

    found: dict[int, list[tuple[int, float]]]
    """Number of an n-gram -> place of the reference, weight there."""
    references: list[_Weights]


@lru_cache(maxsize=_CACHED)
def tokenize(text: str) -> tuple[str, ...]:
    """Words of a text as the Penn Treebank splits them, lower-cased, without punctuation.

    Example:
        >>> tokenize("A man's dog isn't here.")
        ('a', 'man', "'s", 'dog', 'is', "n't", 'here')
    """
    return tuple(_TOKEN.findall(text.lower()))


class CiderD:
    """CIDEr-D (arXiv 1411.5726, section 5) against a fixed set of references.

    The number is the one that pycocoevalcap prints: n-grams of 1 to 4 words, sigma 6, times 10, so that a candidate
    equal to its only reference gets 10. The inverse document frequency comes from these references, so values of
    different sets are not comparable (a person's caption against the other four has 0.959 on the first 300 images of
    COCO val2017 and 0.887 on all 5,000), and one item alone would score 0 by construction.

    Args:
        references: Right texts of each item.

    Raises:
        DataError: Fewer than two items, or an item without references.

    Example:
        >>> CiderD([["a cat sits"], ["a dog runs"]]).scores(["a cat sits", "a bird"]).round(2).tolist()
        [7.5, 0.0]
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        if len(references) < 2:
            raise DataError(
                f"CIDEr of {len(references)} item(s) is 0 by construction: its weights come from the references.",
                fix="score at least two items together.",
            )
        _require_references(references)
        grams = [[_grams(text) for text in texts] for texts in references]
        frequency = Counter(gram for texts in grams for gram in set().union(*texts))
        self._log_items = math.log(len(references))
        self._known = {
            gram: (number, self._log_items - math.log(count)) for number, (gram, count) in enumerate(frequency.items())
        }
        self._items = [_by_gram([self._weigh(one) for one in texts]) for texts in grams]
        self._candidates: dict[str, _Weights] = {}

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def scores(self, candidates: Sequence[str]) -> NDArray[np.float64]:
        """Score of each item's candidate, [N]; their mean is the corpus score."""
        assert len(candidates) == len(self), (len(candidates), len(self))
        return np.array([self.score(item, candidate) for item, candidate in enumerate(candidates)])

    def score(self, item: int, candidate: str) -> float:
        """Score of one candidate for item number `item`.

        Any pair may be asked for: a candidate's n-grams are counted once, then a pair takes some ten microseconds.
        """
        own = self._candidates.get(candidate)
        if own is None:
            own = self._candidates[candidate] = self._weigh(_grams(candidate))
        found, references = self._items[item].found, self._items[item].references
        products = [[0.0] * _ORDERS for _ in references]
        for number, order, weight in own.known:
            for place, other in found.get(number, ()):
                products[place][order] += min(weight, other) * other
        total = sum(_similarity(own, one, product) for one, product in zip(references, products, strict=True))
        return 10.0 * total / len(references)

    def _weigh(self, grams: Grams) -> _Weights:
        known: list[tuple[int, int, float]] = []
        squares = [0.0] * _ORDERS
        for gram, count in grams.items():
            # An n-gram that no reference has weighs as much as one that a single item has.
            number, rarity = self._known.get(gram, (-1, self._log_items))
            squares[len(gram) - 1] += (count * rarity) ** 2
            if number >= 0:
                known.append((number, len(gram) - 1, count * rarity))
        bigrams = sum(count for gram, count in grams.items() if len(gram) == 2)
        return _Weights(known, [math.sqrt(value) for value in squares], bigrams)


def bleu4(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of a corpus: clipped precisions up to four words, brevity penalty against the closest reference.

    Returns:
        Between 0 and 1; 0 when no four words in a row match anywhere.
    """
    _require_references(references)
    matched, possible = [0] * _ORDERS, [0] * _ORDERS
    length = closest = 0
    for candidate, texts in zip(candidates, references, strict=True):
        own, others = _grams(candidate), [_grams(text) for text in texts]
        for gram, count in own.items():
            matched[len(gram) - 1] += min(count, max(other.get(gram, 0) for other in others))
            possible[len(gram) - 1] += count
        words = len(tokenize(candidate))
        length += words
        closest += min((len(tokenize(text)) for text in texts), key=lambda one: (abs(one - words), one))
    if not all(matched):
        return 0.0
    precision = math.exp(sum(math.log(m / p) for m, p in zip(matched, possible, strict=True)) / _ORDERS)
    return precision * min(1.0, math.exp(1 - closest / length))


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L: F-measure (beta 1.2) of the longest common subsequence, best precision and recall over references."""
    _require_references(references)
    scores = []
    for candidate, texts in zip(candidates, references, strict=True):
        words, others = tokenize(candidate), [tokenize(text) for text in texts]
        common = [_common(words, other) for other in others]
        precision = max(one / max(1, len(words)) for one in common)
        recall = max(one / max(1, len(other)) for one, other in zip(common, others, strict=True))
        both = recall + 1.2**2 * precision
        scores.append((1 + 1.2**2) * precision * recall / both if both else 0.0)
    return float(np.mean(scores))


def distinct_share(texts: Sequence[str]) -> float:
    """Different texts, by their tokens, over all texts: near 0 for a decoder that ignores its input."""
    return len({tokenize(text) for text in texts}) / max(1, len(texts))


def mean_length(texts: Sequence[str]) -> float:
    """Mean number of tokens."""
    return float(np.mean([len(tokenize(text)) for text in texts])) if texts else 0.0


def _grams(text: str) -> Grams:
    words = tokenize(text)
    counted: Grams = {}
    for order in range(1, _ORDERS + 1):
        for start in range(len(words) - order + 1):
            gram = words[start : start + order]
            counted[gram] = counted.get(gram, 0) + 1
    return counted


def _by_gram(references: list[_Weights]) -> _Item:
    found: dict[int, list[tuple[int, float]]] = {}
    for place, reference in enumerate(references):
        for number, _, weight in reference.known:
            found.setdefault(number, []).append((place, weight))
    return _Item(found, references)


def _similarity(candidate: _Weights, reference: _Weights, products: list[float]) -> float:
    """Mean over orders of the clipped cosine, less where the lengths differ."""
    total = 0.0
    for product, norm, other in zip(products, candidate.norms, reference.norms, strict=True):
        if norm and other:
            total += product / (norm * other)
    return total / _ORDERS * math.exp(-((candidate.length - reference.length) ** 2) / (2 * _SIGMA**2))


def _common(one: Sequence[str], two: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(two) + 1)
    for word in one:
        before = 0
        for place, other in enumerate(two, start=1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def _require_references(references: Sequence[Sequence[str]]) -> None:
    for item, texts in enumerate(references):
        if not texts:
            raise DataError(f"item {item} has no references.", fix="leave it out, or give it a right text.")
