"""Retrieval: how far down the list the first right item stands.

Shapes: N queries, M items, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TIE = 1e-6
"""Cosines nearer than this are equal: float32 products of one and the same vector differ in their last bits."""


def retrieval(
    query_ND: NDArray[np.float32],
    item_MD: NDArray[np.float32],
    *,
    positives: Sequence[Sequence[int]],
    chunk: int = 1024,
) -> dict[str, float]:
    """Rank of the best positive of every query among all items, by cosine.

    An item that is not a positive and scores as high as the best positive stands before it, so a collapsed model
    (all embeddings equal) gets the worst rank and not the best. A score that is not a number stands before it too.
    Other positives of the same query do not count.

    Args:
        query_ND: Unit-norm embeddings of the queries.
        item_MD: Unit-norm embeddings of the items.
        positives: For each query, the indices of the items that are right; at least one.
        chunk: Queries scored at a time; N x M never exists.

    Returns:
        `r1`, `r5`, `r10` (shares, 0 to 1), `median_rank` (1 is best) and `mrr`.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> retrieval(eye, eye, positives=[[0], [1], [2]])["r1"]
        1.0
    """
    ranks_N = retrieval_ranks(query_ND, item_MD, positives=positives, chunk=chunk)
    return {
        "r1": float(np.mean(ranks_N <= 1)),
        "r5": float(np.mean(ranks_N <= 5)),
        "r10": float(np.mean(ranks_N <= 10)),
        "median_rank": float(np.median(ranks_N)),
        "mrr": float(np.mean(1.0 / ranks_N)),
    }


def retrieval_ranks(
    query_ND: NDArray[np.float32],
    item_MD: NDArray[np.float32],
    *,
    positives: Sequence[Sequence[int]],
    chunk: int = 1024,
) -> NDArray[np.int64]:
    """The ranks behind `retrieval`, one per query, counted from 1 (for a paired bootstrap over queries)."""
    assert len(positives) == len(query_ND) > 0, (len(positives), len(query_ND))
    assert all(len(indices) > 0 for indices in positives), "a query without a positive has no rank"
    ranks_N = np.empty(len(query_ND), dtype=np.int64)
    for start in range(0, len(query_ND), chunk):
        scores_CM = query_ND[start : start + chunk] @ item_MD.T
        for row, scores_M in enumerate(scores_CM):
            indices = list(positives[start + row])
            best = scores_M[indices].max()
            ahead_M = ~(scores_M < best - TIE)  # also true where a score is NaN
            ahead_M[indices] = False
            ranks_N[start + row] = 1 + int(ahead_M.sum())
    return ranks_N
