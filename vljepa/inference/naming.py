"""How likely each label is for an image: by its text, and by the encoder's own classifier where it names a class.

Shapes: N images, M labels, D width of the shared space, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError
from vljepa.inference.candidates import Chances
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.classification import sigmoid, softmax
from vljepa.processing.evidence import class_shares, right_among, taxonomy_of, with_evidence


class Naming:
    """Calibrated probabilities of labels.

    Args:
        embedder: The model.
        labels: Names; the model's own templates turn each into texts.
        none: Whether it may be none of them.
        rows: Embeddings [M, D] of the labels; None embeds them in the model's own templates.

    Raises:
        ConfigError: `none` is asked of a model for which that was not fitted.
    """

    def __init__(
        self, embedder: Embedder, labels: Sequence[str], *, none: bool = False, rows: Rows | None = None
    ) -> None:
        config = embedder.model.config
        self.pair = config.calibration.pair
        if none and config.calibration.open_set is None and self.pair is None:
            raise ConfigError(
                "none = True, and this model was not calibrated for none of the labels.",
                fix="train it with a validation source of names, or leave none out and give min_confidence.",
            )
        self.none = none
        self.rows_MD = embedder.names(labels) if rows is None else rows
        self.temperature = config.calibration.temperature("classify", candidates=len(labels))
        self.open_set = config.calibration.open_set if none else None
        self.evidence = config.calibration.evidence
        taxonomy = taxonomy_of(config.residual)
        self.shares_MK = None if taxonomy is None else class_shares(taxonomy, labels)
        classes_KD = embedder.model.class_embeddings() if none else None
        self.reference_KD = None if classes_KD is None else classes_KD.detach().cpu().numpy()
        if self.reference_KD is not None and self.shares_MK is not None:
            self.reference_KD = self.reference_KD[~self.shares_MK.any(axis=0)]

    def probabilities(self, rows_ND: Rows, classes_NK: Rows | None) -> Chances:
        """Of each label for each image, and that it is none of them where that was asked.

        Args:
            rows_ND: Predicted embeddings.
            classes_NK: What the X-Encoder's own classifier says; None without one.
        """
        cosine_NM = rows_ND @ self.rows_MD.T
        if self.pair is not None:
            pairs_NM = sigmoid(self.pair.scale * cosine_NM.astype(np.float64) + self.pair.bias)
            return Chances(pairs_NM, 1 - pairs_NM.max(axis=1) if self.none else None)
        probabilities_NM = self._among_labels(cosine_NM, rows_ND, classes_NK)
        return Chances(probabilities_NM, np.maximum(0, 1 - probabilities_NM.sum(axis=1)) if self.none else None)

    def _among_labels(self, cosine_NM: Rows, rows_ND: Rows, classes_NK: Rows | None) -> NDArray[np.float64]:
        """Of one of the labels, or of none of them: rows sum to 1, or to less."""
        probabilities_NM = softmax(cosine_NM, temperature=self.temperature)
        if self.open_set is not None:
            reference_NK = None if self.reference_KD is None else rows_ND @ self.reference_KD.T
            probabilities_NM *= right_among(self.open_set, cosine_NM, reference_NK)[:, None]
        if classes_NK is None or self.shares_MK is None or self.evidence == 0:
            return probabilities_NM
        return with_evidence(probabilities_NM, classes_NK @ self.shares_MK.T, weight=self.evidence)
