"""The nearest entries of an index: exactly, or among the candidates of faiss.

Shapes: N entries, D width of the shared space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.embedded import Rows
from vljepa.inference.index.approximate import EXACT_BELOW, ApproximateIndex
from vljepa.inference.index.rows import OUT, Shards

Mask = NDArray[np.bool_]


class Found(NamedTuple):
    """Places of entries in an index, best first, and their scores."""

    places: NDArray[np.intp]
    scores: Rows


def nearest(
    entries: Shards,
    approximate: ApproximateIndex | None,
    query: Rows,
    *,
    k: int,
    per_video: int | None = None,
    min_score: float = -1.0,
    mask: Mask | None = None,
) -> Found:
    """The `k` nearest entries, best first; equal scores in the order of paths and times.

    Args:
        entries: Of the index.
        approximate: What finds candidates, whose scores are exact then; None for exact search.
        query: [D], unit length.
        k: How many at most.
        per_video: Segments of one video at most.
        min_score: Only those whose cosine is at least this.
        mask: Only these, [N].
    """
    if approximate is None or (mask is not None and np.count_nonzero(mask) < EXACT_BELOW):
        ranked = _ranker(entries, entries.scores(query, mask=mask))
    else:
        ranked = _approximate_ranker(entries, approximate, query, mask=mask)
    count = k
    while True:
        found = ranked(count)
        kept = _limited(entries, found, per_video=per_video)
        enough = len(kept.places) >= k or len(found.places) < count or found.scores[-1] < min_score
        if per_video is None or enough:
            good = kept.scores >= min_score
            return Found(kept.places[good][:k], kept.scores[good][:k])
        count *= 4


def _ranker(entries: Shards, scores: Rows) -> Callable[[int], Found]:
    """Gives the best so many of all."""

    def ranked(count: int) -> Found:
        places = np.arange(len(scores))
        if count < len(scores):
            worst = np.partition(scores, len(scores) - count)[len(scores) - count]
            places = np.flatnonzero(scores >= worst)
        return _sorted(entries, places, scores[places], count)

    return ranked


def _approximate_ranker(
    entries: Shards, approximate: ApproximateIndex, query: Rows, *, mask: Mask | None
) -> Callable[[int], Found]:
    """Gives the best so many of faiss' candidates and of what faiss has not got."""

    def ranked(count: int) -> Found:
        places = approximate.candidates(query, count=count, mask=mask)
        scores = np.asarray(entries.rows(places) @ query, dtype=np.float32)
        return _sorted(entries, places, scores, count)

    return ranked


def _sorted(entries: Shards, places: NDArray[np.intp], scores: Rows, count: int) -> Found:
    keep = scores > OUT
    places, scores = places[keep], scores[keep]
    order = np.argsort(-scores, kind="stable")
    places, scores = places[order], scores[order]
    if (scores[1:] == scores[:-1]).any():
        named = [(entries[place].path, entries[place].start or 0.0) for place in places.tolist()]
        order = np.array(sorted(range(len(places)), key=lambda one: (-scores[one], *named[one])), dtype=np.intp)
        places, scores = places[order], scores[order]
    return Found(places[:count], scores[:count])


def _limited(entries: Shards, found: Found, *, per_video: int | None) -> Found:
    """The best segments of each video; of an image there is one entry."""
    if per_video is None:
        return found
    seen: Counter[str] = Counter()
    kept = []
    for number, place in enumerate(found.places.tolist()):
        path = entries[place].path
        seen[path] += 1
        if seen[path] <= per_video:
            kept.append(number)
    return Found(found.places[kept], found.scores[kept])
