"""How often the answers of a training set occur: what is known of an answer before the image is looked at."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from vljepa.configs.part import Strict


class AnswerPriorConfig(Strict):
    """The answers of the training questions with their frequency, and how much weight that has.

    An answer's score is cosine + weight * log(share of the training rows). A contrastive loss that masks duplicates
    does not learn the share: it is logit adjustment (arXiv 2007.07314), the other way round.

    Args:
        counts: Training rows per answer, in normal form (`vljepa.processing.text.normalise_text`).
        weight: Factor on the logarithm, in units of cosine; fitted on validation data.
    """

    counts: dict[str, PositiveInt] = Field(min_length=2)
    weight: float = Field(gt=0)
