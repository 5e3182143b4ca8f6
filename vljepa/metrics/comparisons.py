"""Does the right one score higher? Text triplets, image-text pairs, and clips to choose from. Strict: a tie is wrong.

Shapes: N items, D width of the shared space, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.metrics.classification import top_k_hits
from vljepa.metrics.retrieval import TIE

Rows = NDArray[np.float32]
Hits = NDArray[np.bool_]


def triplet_hits(first_ND: Rows, second_ND: Rows, negative_ND: Rows) -> Hits:
    """Whether two texts of one meaning are nearer to each other than either is to the third.

    SugarCrepe++ (arXiv 2406.11171) and VISLA (arXiv 2404.16365), text only.

    Args:
        first_ND: A caption, unit norm.
        second_ND: The same in other words.
        negative_ND: A caption of another meaning.

    Example:
        >>> cat, dog = np.eye(2, dtype=np.float32)[:, None]
        >>> triplet_hits(cat, cat, dog).tolist(), triplet_hits(cat, cat, cat).tolist()
        ([True], [False])
    """
    together_N = _cosines(first_ND, second_ND)
    hits: Hits = (_cosines(first_ND, negative_ND) < together_N - TIE) & (
        _cosines(second_ND, negative_ND) < together_N - TIE
    )
    return hits


def pair_hits(image_ND: Rows, right_ND: Rows, wrong_ND: Rows) -> Hits:
    """Whether an image is nearer to its own caption than to the changed one, as in SugarCrepe (arXiv 2306.14610)."""
    hits: Hits = _cosines(image_ND, wrong_ND) < _cosines(image_ND, right_ND) - TIE
    return hits


def winoground(images_N2D: Rows, captions_N2D: Rows) -> dict[str, float]:
    """Two images and two captions of the same words: the three scores of Winoground (arXiv 2204.03162).

    Args:
        images_N2D: Unit norm; image k of an item belongs to caption k.
        captions_N2D: Unit norm.

    Returns:
        `text` (both images prefer their caption), `image` (both captions prefer their image) and `group` (all
        four); chance is 1/4, 1/4 and 1/6.
    """
    scores_N22 = np.einsum("nid,ncd->nic", images_N2D.astype(np.float64), captions_N2D.astype(np.float64))
    own_N2 = scores_N22[:, [0, 1], [0, 1]] - TIE
    text_N = (scores_N22[:, [0, 1], [1, 0]] < own_N2).all(1)
    image_N = (scores_N22[:, [1, 0], [0, 1]] < own_N2).all(1)
    return {
        "text": float(text_N.mean()),
        "image": float(image_N.mean()),
        "group": float((text_N & image_N).mean()),
    }


def multiple_choice(state_ND: Rows, candidates_NCD: Rows, answers_N: NDArray[np.int64]) -> float:
    """Share of items whose right candidate is the nearest, such as the clips of WorldPrediction (chance 1 / C)."""
    scores_NC = np.einsum("nd,ncd->nc", state_ND.astype(np.float64), candidates_NCD.astype(np.float64))
    return float(top_k_hits(scores_NC, answers_N).mean())


def by_category(hits: Hits, categories: Sequence[str]) -> dict[str, float]:
    """Accuracy per category, their mean, and the mean over rows.

    Returns:
        One key per category in alphabetic order, then `macro` (every category counts the same; what the SugarCrepe++
        paper calls micro) and `rows` (every row counts the same).
    """
    assert len(hits) == len(categories) > 0, (len(hits), len(categories))
    names = np.array(categories)
    shares = {name: float(hits[names == name].mean()) for name in sorted(set(categories))}
    return {**shares, "macro": float(np.mean(list(shares.values()))), "rows": float(hits.mean())}


def _cosines(one_ND: Rows, two_ND: Rows) -> NDArray[np.float64]:
    cosines_N: NDArray[np.float64] = np.einsum("nd,nd->n", one_ND.astype(np.float64), two_ND.astype(np.float64))
    return cosines_N
