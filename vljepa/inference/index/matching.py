"""How likely what was found shows what was searched for.

Shapes: N rows that were found, D width of the shared space, K classes of the X-Encoder's own classifier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.query import Query
from vljepa.metrics.classification import sigmoid
from vljepa.processing.evidence import class_shares, right_among, taxonomy_of


def check_can_be_none(embedder: Embedder, query: Query, *, alone: bool) -> None:
    """Refuse a search of which it cannot be told whether what it found is right.

    Raises:
        ConfigError: It is for more than a text, or neither was that fitted for the model, nor is it a dual encoder of
            which each pair has a probability.
    """
    if not isinstance(query, str) or not alone:
        raise ConfigError("none = True judges what was found for one text.", fix="leave it out, or give min_score.")
    calibration = embedder.model.config.calibration
    if calibration.search is None and calibration.pair is None:
        raise ConfigError(
            "none = True, and this model was not calibrated for searches that find nothing.",
            fix="train it with a validation source of names, or leave none out and give min_score.",
        )


def match_probabilities(
    embedder: Embedder, text: str, rows_ND: Rows, cosines_N: Rows, *, count: int
) -> NDArray[np.float64]:
    """Probability that each row shows what the text says, [N].

    It was fitted for the nearest row; those behind it are judged alike.

    Args:
        embedder: A model for which `check_can_be_none` has nothing to say.
        text: What was searched for.
        rows_ND: Found.
        cosines_N: To the text.
        count: Among how many rows they were found.
    """
    model = embedder.model
    calibration = model.config.calibration
    if calibration.search is None:
        assert calibration.pair is not None
        return sigmoid(calibration.pair.scale * cosines_N.astype(np.float64) + calibration.pair.bias)
    classes_KD, taxonomy = model.class_embeddings(), taxonomy_of(model.config.residual)
    reference_NK = None
    if classes_KD is not None and taxonomy is not None:
        others_K = ~class_shares(taxonomy, [text]).any(axis=0)
        reference_NK = rows_ND @ classes_KD.detach().cpu().numpy()[others_K].T
    return right_among(calibration.search, cosines_N[:, None], reference_NK, count=count)
