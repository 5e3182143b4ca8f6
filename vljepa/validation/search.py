"""Whether the nearest image of an index shows what a text names: fitted on validation images with names.

Shapes: N images, M names, K classes, R draws of images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vljepa.configs import OpenSetConfig
from vljepa.metrics.classification import auroc
from vljepa.processing.evidence import open_set_features
from vljepa.validation.naming import Draw, NamedScores, fit_logistic
from vljepa.validation.tasks import Metrics

SIZES = (10, 20, 50, 100, 300, 1000)
"""Images among which the nearest to a name is looked for."""
DRAWS = 10
"""Of each size."""


def fit_search(sources: Sequence[NamedScores]) -> tuple[OpenSetConfig | None, Metrics]:
    """Logistic regression on whether the nearest of some images shows what is searched for, each source counting alike.

    Args:
        sources: At least one.

    Returns:
        The factors, where `candidates` is that of the number of images, and for each source the area under the ROC
        curve, on the data of the fit; None where there are not both right ones and wrong ones.
    """
    draws = {one.source: draw_images(one) for one in sources}
    every = Draw.joined(list(draws.values()))
    if every.among.all() or not every.among.any():
        return None, {}
    weights_R = np.concatenate([np.full(len(one.among), 1 / max(1, len(one.among))) for one in draws.values()])
    bias, cosine, reference, candidates = fit_logistic(every, evidence=0.0, weights_R=weights_R / weights_R.sum())
    config = OpenSetConfig(bias=bias, cosine=cosine, reference=reference, candidates=candidates)
    factors = np.array([bias, cosine, reference, candidates])
    metrics: Metrics = {
        f"calibration/search/{source}/auroc": auroc(one.probabilities(factors, 0.0), one.among)
        for source, one in draws.items()
        if one.among.any() and not one.among.all()
    }
    return config, metrics


def draw_images(one: NamedScores) -> Draw:
    """For each name the nearest of some images, drawn with a fixed seed, where it is known to be right or wrong."""
    random = np.random.default_rng(0)
    right_NM, wrong_NM = one.named.right_NM, one.named.wrong_NM
    rows: list[tuple[np.ndarray, bool]] = []
    for size in (size for size in SIZES if size <= len(right_NM)):
        for _ in range(DRAWS):
            images = random.permutation(len(right_NM))[:size]
            best_M = images[one.cosine_NM[images].argmax(axis=0)]
            for name, image in enumerate(best_M.tolist()):
                if right_NM[image, name] or wrong_NM[image, name]:
                    features_14 = open_set_features(
                        one.cosine_NM[[image], [name]][:, None], one.reference_of(image, [name]), count=size
                    )
                    rows.append((features_14[0], bool(right_NM[image, name])))
    features, among = zip(*rows, strict=True) if rows else ((), ())
    return Draw(np.array(features).reshape(-1, 4), np.zeros(len(among)), np.array(among, dtype=bool))
