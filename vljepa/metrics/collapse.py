"""The collapse panel: is the space used, and do predictions belong to their own targets?

Shapes: N samples, D width of the shared space. All are O(N^2) or O(N D^2): give at most a few thousand rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def effective_rank(embedding_ND: NDArray[np.float32]) -> float:
    """How many directions the embeddings use: exp of the entropy of their normalised singular values.

    RankMe (arXiv 2210.02885). 1 is full collapse, min(N, D) is the most.
    """
    singular = np.linalg.svd(np.asarray(embedding_ND, dtype=np.float64), compute_uv=False)
    shares = singular / max(float(singular.sum()), 1e-12)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def matched_minus_shuffled(prediction_ND: NDArray[np.float32], target_ND: NDArray[np.float32]) -> float:
    """Mean cosine of predictions to their own targets, minus to everybody else's.

    0 says that a prediction knows nothing of its image; 1 is the most for targets that are orthogonal on average.
    """
    count = len(prediction_ND)
    assert count == len(target_ND) > 1, (count, len(target_ND))
    prediction = np.asarray(prediction_ND, dtype=np.float64)
    target = np.asarray(target_ND, dtype=np.float64)
    matched = float((prediction * target).sum())
    total = float(prediction.sum(axis=0) @ target.sum(axis=0))
    return matched / count - (total - matched) / (count * (count - 1))


def uniformity(embedding_ND: NDArray[np.float32]) -> float:
    """Log of the mean Gaussian potential over all pairs, t = 2 (arXiv 2005.10242, eq. 3).

    0 is full collapse; about -4 is uniform on the sphere.
    """
    assert len(embedding_ND) > 1, len(embedding_ND)
    embedding = np.asarray(embedding_ND, dtype=np.float64)
    cosine_NN = embedding @ embedding.T
    upper = cosine_NN[np.triu_indices(len(embedding), k=1)]
    return float(np.log(np.exp(-2.0 * (2.0 - 2.0 * upper)).mean()))
