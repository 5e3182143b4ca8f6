"""How many of the truly nearest an approximate index finds, and the least work for which that is enough.

Shapes: N entries, Q queries, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.embedded import Rows
from vljepa.inference.index.rows import OUT, Shards
from vljepa.processing.taxonomy import Taxonomy

NEAREST, ENOUGH = 10, 0.95
EFFORTS = (16, 32, 64, 128, 256, 512)
"""Of faiss' `efSearch` or `nprobe`, from the least on."""
_QUERIES = 200
_BLOCK = 8192


def names_to_ask_for() -> list[str]:
    """What people may search for, evenly from the names of ImageNet's classes: 200 texts."""
    names = list(Taxonomy.of("imagenet-1k").names())
    return names[:: max(1, len(names) // _QUERIES)]


def truly_nearest(entries: Shards, queries: Rows, *, k: int = NEAREST) -> NDArray[np.intp]:
    """Places [Q, k] of the nearest entries of each query, in no order: all rows are read once for all queries.

    Args:
        entries: Of the index.
        queries: [Q, D], unit length.
        k: How many; all, where there are fewer.
    """
    k = min(k, len(entries))
    places: NDArray[np.intp] = np.zeros((len(queries), 0), dtype=np.intp)
    scores: Rows = np.zeros((len(queries), 0), dtype=np.float32)
    for start, block in zip(entries.starts, entries.blocks, strict=False):
        for first in range(0, len(block), _BLOCK):
            found = queries @ block[first : first + _BLOCK].T
            np.nan_to_num(found, copy=False, nan=OUT, posinf=OUT, neginf=OUT)
            here = np.broadcast_to(np.arange(start + first, start + first + found.shape[1]), found.shape)
            scores, places = np.hstack([scores, found]), np.hstack([places, here])
            if scores.shape[1] > k:
                best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
                scores = np.take_along_axis(scores, best, axis=1)
                places = np.take_along_axis(places, best, axis=1)
    return places


def least_effort(share: Callable[[int], float]) -> tuple[int, float]:
    """The least of `EFFORTS` that finds enough, or the greatest, and the share of the nearest that it finds.

    Args:
        share: What an effort finds.
    """
    effort, recall = 0, 0.0
    for effort in EFFORTS:
        recall = share(effort)
        if recall >= ENOUGH:
            break
    return effort, round(recall, 4)
