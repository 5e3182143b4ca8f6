"""What an encoder would name in an image that a text describes: the entities of a training text.

The names that a real image gives are right in part, and more often the surer they are. What is drawn here is alike,
so that a decoder learns when to say a name, when to say something wider, and when to say neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.models.types import Entities
from vljepa.processing.nouns import classes_in
from vljepa.processing.taxonomy import Taxonomy

NOUN_IS_FIRST = {True: 0.9, False: 0.5}
"""How often a noun of the text is the most probable name: a name itself (True), or a hypernym of several."""
STRENGTH = {True: (2.0, 0.8), False: (0.9, 1.5)}
"""Beta distribution of the highest probability, for the same two; measured on photos with captions, and on photos of
one thing each (docs/LOG.md)."""
_SPREAD = 0.04
"""Of the cosines, for the draw of names that are near a text but not in it."""
_NEAR = 150
"""A noun counts only where its name is among so many nearest the text: most words have senses that are not meant."""


class EntityEstimate:
    """Draws the entities of texts.

    Args:
        taxonomy: Names and hypernyms of the K classes.
        names_KD: Embeddings of the names, unit norm.
        embed: Embeddings [N, D] of texts, unit norm.
        count: Entities per text.
    """

    def __init__(
        self, taxonomy: Taxonomy, *, names_KD: Tensor, embed: Callable[[Sequence[str]], Tensor], count: int
    ) -> None:
        assert len(taxonomy) == len(names_KD)
        self.taxonomy = taxonomy
        self.names_KD = names_KD
        self.embed = embed
        self.count = min(count, len(taxonomy))
        self._nouns: dict[str, list[tuple[int, ...]]] = {}

    def __call__(self, texts: Sequence[str], *, seeds: Sequence[int], rows_BD: Tensor | None = None) -> Entities:
        """Entities [B, N] of texts, a pure function of each text and seed; `rows_BD` are their embeddings, if known."""
        cosine_BK = ((self.embed(texts) if rows_BD is None else rows_BD) @ self.names_KD.T).numpy()
        drawn = [self._draw(*one) for one in zip(texts, cosine_BK, seeds, strict=True)]
        numbers, strengths = (np.stack(several) for several in zip(*drawn, strict=True))
        return Entities(torch.from_numpy(numbers), torch.from_numpy(strengths))

    def _draw(
        self, text: str, cosine_K: NDArray[np.float32], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        random = np.random.default_rng(seed)
        score_K = cosine_K / _SPREAD + random.gumbel(size=len(cosine_K))
        near = set(np.argpartition(-cosine_K, min(_NEAR, len(cosine_K) - 1))[:_NEAR].tolist())
        nouns = [kept for classes in self._classes(text) if (kept := [one for one in classes if one in near])]
        named = False
        if nouns:
            # The narrowest noun says most; of equals, any.
            noun = min(nouns, key=lambda classes: (len(classes), random.random()))
            named = len(noun) == 1
            first = max(noun, key=lambda one: score_K[one])
            if random.random() < NOUN_IS_FIRST[named]:
                score_K[first] = np.inf
            else:
                named = False
        strengths = _strengths(random, self.count, STRENGTH[named])
        return np.argsort(-score_K, kind="stable")[: self.count], strengths

    def _classes(self, text: str) -> list[tuple[int, ...]]:
        if text not in self._nouns:
            self._nouns[text] = list(classes_in(text, self.taxonomy))
        return self._nouns[text]


def _strengths(random: np.random.Generator, count: int, beta: tuple[float, float]) -> NDArray[np.float32]:
    """Descending probabilities; each later one is a part of what is left, and no more than the one before."""
    found = [random.beta(*beta)]
    for _ in range(count - 1):
        found.append(min(found[-1], (1 - sum(found)) * random.uniform(0.1, 0.5)))
    return np.array(found, dtype=np.float32)
