"""What an encoder's own classifier says about candidates that name its classes, beside the cosines.

Shapes: N images, M candidates, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import CALIBRATED_AT, AlignedConfig, LabelPriorConfig, OpenSetConfig
from vljepa.processing.taxonomy import Taxonomy

Probabilities = NDArray[np.float64] | NDArray[np.float32]


def taxonomy_of(residual: LabelPriorConfig | AlignedConfig | None) -> Taxonomy | None:
    """What the classes behind a model's residual are called; None where there are no classes."""
    return Taxonomy.of(residual.label_names) if isinstance(residual, LabelPriorConfig) else None


def class_shares(taxonomy: Taxonomy, candidates: Sequence[str]) -> NDArray[np.float64]:
    """How much of each class's probability goes to each candidate, [M, K].

    A class speaks for all candidates that name it or are wider, in inverse proportion to how many classes they have:
    of `dog` and `golden retriever`, that breed speaks for its name. Every column sums to 1, or to 0 where no
    candidate has the class; the row of a name that is not known is 0.

    Example:
        >>> shares = class_shares(Taxonomy.of(["cat", "dog", "hot dog"]), ["dogs", "kite"])
        >>> shares.tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    shares_MK = np.zeros((len(candidates), len(taxonomy)))
    for row, name in enumerate(candidates):
        classes = list(taxonomy.classes_of(name))
        shares_MK[row, classes] = 1 / max(1, len(classes))
    total_K = shares_MK.sum(axis=0)
    return shares_MK / np.where(total_K > 0, total_K, 1.0)


def with_evidence(cosine_NM: Probabilities, class_NM: Probabilities, *, weight: float) -> NDArray[np.float64]:
    """Probabilities of candidates from those of the cosines and what the classifier gives to each candidate.

    The classifier decides with probability `weight` where its class has a candidate, and the cosines decide otherwise:
    a candidate without a class loses only what the classifier gives to others.

    Args:
        cosine_NM: Softmax over the cosines; rows sum to 1, or to less where none of the candidates may be right.
        class_NM: Class probabilities times `class_shares`; rows sum to 1 or less.
        weight: How far the classifier is trusted, below 1; 0 for not at all.
    """
    decided_N1 = weight * class_NM.sum(axis=1, keepdims=True)
    probabilities: NDArray[np.float64] = weight * class_NM + (1 - decided_N1) * np.asarray(cosine_NM, dtype=np.float64)
    return probabilities


def right_among(
    config: OpenSetConfig, cosine_NM: Probabilities, reference_NK: Probabilities | None, *, count: int | None = None
) -> NDArray[np.float64]:
    """Probability that one of the candidates is right, by the cosines alone, [N].

    Args:
        config: Of the model.
        cosine_NM: Cosines to all candidates.
        reference_NK: Cosines to the classes that no candidate stands for; None without a classifier, or without any.
        count: Among how many the best was chosen; by default the candidates.
    """
    features_N4 = open_set_features(cosine_NM, reference_NK, count=count)
    return np.asarray(1 / (1 + np.exp(-(features_N4 @ _factors(config)))))


def open_set_features(
    cosine_NM: Probabilities, reference_NK: Probabilities | None, *, count: int | None = None
) -> NDArray[np.float64]:
    """What `OpenSetConfig` has factors on, in its order: 1, both cosines and log(count / 20), [N, 4]."""
    images, candidates = cosine_NM.shape
    reference_N: Probabilities = np.zeros(images)
    if reference_NK is not None and reference_NK.shape[1] > 0:
        reference_N = reference_NK.max(axis=1)
    number_N = np.full(images, np.log((count or candidates) / CALIBRATED_AT))
    return np.stack([np.ones(images), cosine_NM.max(axis=1), reference_N, number_N], axis=1).astype(np.float64)


def _factors(config: OpenSetConfig) -> NDArray[np.float64]:
    return np.array([config.bias, config.cosine, config.reference, config.candidates])
