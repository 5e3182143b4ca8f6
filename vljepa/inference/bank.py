"""A bank of known texts instead of a Y-Decoder: the nearest one, or the consensus of many near ones.

It says only what somebody has written; it is the baseline that a decoder must beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from vljepa.errors import DataError
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.captions import CiderD, tokenize


class Bank:
    """Texts and their embeddings.

    Args:
        texts: M different texts.
        rows: Their embeddings [M, D], unit norm.

    Raises:
        DataError: There is no text.
    """

    def __init__(self, texts: Sequence[str], rows: Rows) -> None:
        if not texts:
            raise DataError("the bank has no texts.", fix="give at least one.")
        assert len(texts) == len(rows), (len(texts), len(rows))
        self.texts = list(texts)
        self.rows = rows

    @classmethod
    def build(cls, embedder: Embedder, texts: Sequence[str]) -> Self:
        """Embed texts; repeated ones are kept once."""
        different = list(dict.fromkeys(texts))
        return cls(different, embedder.texts(different))

    def nearest(self, rows: Rows) -> list[str]:
        """The text nearest to each embedding [N, D]."""
        return [self.texts[place] for place in (rows @ self.rows.T).argmax(1)]

    def consensus(self, rows: Rows, *, k: int = 50) -> list[str]:
        """Of the k nearest texts, the one that agrees most with the others (Devlin et al., arXiv 1505.04467).

        Agreement is the mean CIDEr-D against each of the others, weighted among the k texts alone.

        Args:
            rows: Embeddings [N, D].
            k: Texts that vote; all of them where the bank has fewer.
        """
        k = min(k, len(self.texts))
        similarity_NM = rows @ self.rows.T
        nearest_NK = np.argpartition(-similarity_NM, k - 1, axis=1)[:, :k]
        return [self._agreed([self.texts[place] for place in sorted(places)]) for places in nearest_NK]

    @staticmethod
    def _agreed(texts: Sequence[str]) -> str:
        if len(texts) < 3 or not any(tokenize(text) for text in texts):
            return texts[0]
        # One item per text, so that words which many of them share weigh less.
        scorer, places = CiderD([[text] for text in texts]), range(len(texts))
        scores = [sum(scorer.score(other, texts[own]) for other in places if other != own) for own in places]
        return texts[int(np.argmax(scores))]
