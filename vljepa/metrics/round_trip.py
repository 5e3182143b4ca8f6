"""Does a text come back from its own embedding? Text -> Y-Encoder -> Y-Decoder -> text -> Y-Encoder.

Shapes: N texts, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.metrics.captions import bleu4, tokenize
from vljepa.metrics.collapse import matched_minus_shuffled


def round_trip(
    texts: Sequence[str], decoded: Sequence[str], *, text_ND: NDArray[np.float32], decoded_ND: NDArray[np.float32]
) -> dict[str, float]:
    """How much of some texts came back, in embeddings and in words.

    Args:
        texts: What went in; at least two.
        decoded: What came back, in the same order.
        text_ND: Embeddings of `texts`, unit norm.
        decoded_ND: Embeddings of `decoded`, unit norm.

    Returns:
        `cosine`, the mean of each text with what came back; `above_others`, the same less the mean cosine with what
        came back of the other texts, which is 0 for a collapsed Y-Encoder, whose `cosine` is 1; `bleu4`; and
        `exact`, the share with the same words.
    """
    assert len(texts) == len(decoded) == len(text_ND) == len(decoded_ND) > 1, (len(texts), len(decoded))
    return {
        "cosine": float((text_ND.astype(np.float64) * decoded_ND).sum(1).mean()),
        "above_others": matched_minus_shuffled(decoded_ND, text_ND),
        "bleu4": bleu4(decoded, [[text] for text in texts]),
        "exact": float(np.mean([tokenize(one) == tokenize(two) for one, two in zip(texts, decoded, strict=True)])),
    }
