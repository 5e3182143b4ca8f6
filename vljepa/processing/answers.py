"""The answer prior as numbers: what it adds to the score of each candidate.

Shapes: C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import AnswerPriorConfig
from vljepa.processing.text import normalise_text


def are_known(counts: Mapping[str, int], candidates: Sequence[str]) -> bool:
    """Whether all candidates are training answers, in normal form: only then their frequencies can be compared."""
    return all(normalise_text(text) in counts for text in candidates)


def log_shares(counts: Mapping[str, int], candidates: Sequence[str]) -> NDArray[np.float32]:
    """Logarithm of each candidate's share of the training rows, [C]; an unknown one counts as seen half a time.

    Example:
        >>> log_shares({"yes": 3, "no": 1}, ["Yes.", "no"]).round(2).tolist()
        [-0.28999999165534973, -1.3899999856948853]
    """
    seen_C = np.array([counts.get(normalise_text(text), 0.5) for text in candidates], dtype=np.float64)
    return np.log(seen_C / sum(counts.values())).astype(np.float32)


def prior_scores(
    prior: AnswerPriorConfig | None, candidates: Sequence[str], *, wanted: bool | None = None
) -> NDArray[np.float32]:
    """What the prior adds to each candidate's cosine, [C]; zeros where it is not applied.

    Args:
        prior: Of the model; None for one without.
        candidates: What is chosen from.
        wanted: None applies it where all candidates are training answers; True always; False never.
    """
    if prior is None or not (are_known(prior.counts, candidates) if wanted is None else wanted):
        return np.zeros(len(candidates), dtype=np.float32)
    scores_C: NDArray[np.float32] = np.float32(prior.weight) * log_shares(prior.counts, candidates)
    return scores_C
