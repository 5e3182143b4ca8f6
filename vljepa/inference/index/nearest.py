"""The nearest entries of an index: exactly, or among the candidates of faiss.

Shapes: N entries, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.embedded import Rows
from vljepa.inference.index.approximate import EXACT_BELOW, ApproximateIndex
from vljepa.inference.index.rows import OUT, Shards

Mask = NDArray[np.bool_]
_RUN = 64


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
            worst = _score_of(scores, count)
            above = np.flatnonzero(scores > worst)
            places = np.concatenate([above, _first(entries, scores == worst, count - len(above))])
        return _sorted(entries, places, scores[places], count)

    return ranked


def _score_of(scores: Rows, rank: int) -> np.float32:
    """The score of rank `rank`, from 1: among those that reach that rank of the best of each run of 64."""
    runs = len(scores) // _RUN
    if runs > 2 * rank:
        best = scores[: runs * _RUN].reshape(runs, _RUN).max(axis=1)
        scores = scores[scores >= np.partition(best, runs - rank)[runs - rank]]
    found: np.float32 = np.partition(scores, len(scores) - rank)[len(scores) - rank]
    return found


def _first(entries: Shards, wanted: Mask, count: int) -> NDArray[np.intp]:
    """Places of the first so many of each shard, which are in the order of paths and times: all are never needed."""
    found = [
        start + np.flatnonzero(wanted[start : start + len(block)])[:count]
        for start, block in zip(entries.starts, entries.blocks, strict=False)
    ]
    return np.concatenate(found)


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
        order = _by_path(entries, places, scores)
        places, scores = places[order], scores[order]
    return Found(places[:count], scores[:count])


def _by_path(entries: Shards, places: NDArray[np.intp], scores: Rows) -> NDArray[np.intp]:
    """Best first, and of equal ones by path and time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {name: entries.take(name, places) for name in ("path", "start")}
    keys = [("score", "descending"), ("path", "ascending"), ("start", "ascending")]
    found: NDArray[np.intp] = pc.sort_indices(pa.table({"score": scores, **columns}), sort_keys=keys).to_numpy()
    return found.astype(np.intp)


def _limited(entries: Shards, found: Found, *, per_video: int | None) -> Found:
    """The best segments of each video; of an image there is one entry."""
    if per_video is None or not len(found.places):
        return found
    files = entries.take("path", found.places).dictionary_encode().indices.to_numpy()
    order = np.argsort(files, kind="stable")
    first = np.flatnonzero(np.diff(files[order], prepend=-1))
    rank = np.empty(len(files), dtype=np.intp)
    rank[order] = np.arange(len(files)) - np.repeat(first, np.diff(first, append=len(files)))
    kept = rank < per_video
    return Found(found.places[kept], found.scores[kept])
