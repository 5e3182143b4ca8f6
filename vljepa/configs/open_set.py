"""Open-set recognition: whether any of the candidates is right."""

from __future__ import annotations

from vljepa.configs.part import Strict


class OpenSetConfig(Strict):
    """Logistic regression on validation images, with the right name among the candidates and without it.

    The probability that a candidate is right is sigmoid(bias + cosine * a + reference * b + candidates * log(M / 20)).
    Searching, M is the number of rows of the index, a the cosine of the nearest one, and the only candidate the query.

    Args:
        bias: Constant.
        cosine: Factor on a, the cosine of the nearest of the M candidates.
        reference: Factor on b, the cosine of the nearest class of the X-Encoder's own classifier that no candidate
            stands for; b is 0 without a classifier.
        candidates: Factor on the logarithm of their number.
    """

    bias: float
    cosine: float
    reference: float = 0.0
    candidates: float = 0.0
