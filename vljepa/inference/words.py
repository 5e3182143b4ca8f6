"""Words for predicted embeddings: candidates from the Y-Decoder, the best of them, and how sure that one is.

A candidate is better the nearer its embedding is to the predicted one, the likelier the decoder finds it, and the more
of what it names the encoder names too. What stutters or holds a word that no training text has is not taken. Below a
confidence the caption falls back to the narrowest thing that the encoder is sure of.

Shapes: N embeddings of width D, K classes of the X-Encoder's classifier, C candidates each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.configs import ChoiceConfig
from vljepa.models.types import Entities
from vljepa.processing.nouns import classes_in, with_article
from vljepa.processing.taxonomy import Taxonomy

Rows = NDArray[np.float32]

NARROW = 20
"""A noun with at most so many classes says something that can be wrong."""


@dataclass(frozen=True)
class Words:
    """What is said for an embedding.

    Args:
        text: The caption.
        agreement: Cosine of the caption's embedding and the predicted one.
        confidence: Calibrated probability that the caption names what is there, or something wider.
    """

    text: str
    agreement: float
    confidence: float


@dataclass(frozen=True)
class Evidence:
    """What speaks for a candidate.

    Args:
        agreement: Cosine of its embedding and the predicted one.
        likelihood: Mean log-probability of its tokens.
        named: Highest probability, by the encoder, of what one of its nouns means; 0 without such a noun.
        wrong: 1 less the lowest probability of one of its narrow nouns; 0 without such a noun.
        flawed: Whether it stutters or holds a word that no training text has.
    """

    agreement: float
    likelihood: float
    named: float
    wrong: float
    flawed: bool

    def score(self, config: ChoiceConfig) -> float:
        """The higher, the better."""
        return (
            config.agreement * self.agreement
            + config.likelihood * self.likelihood
            + config.named * self.named
            - config.wrong * self.wrong
            - (100.0 if self.flawed else 0.0)
        )

    def confidence(self, config: ChoiceConfig) -> float:
        """Logistic regression on the evidence."""
        weights, values = config.confidence, (1.0, self.agreement, self.likelihood, self.named, self.wrong)
        return float(1 / (1 + np.exp(-np.dot(weights, values))))


def stutters(text: str) -> bool:
    """Whether two words follow each other twice, or one follows itself."""
    words = text.lower().split()
    pairs = list(pairwise(words))
    return len(set(pairs)) < len(pairs) or any(one == two for one, two in pairs)


def naming(text: str, taxonomy: Taxonomy, classes_K: Rows | None) -> tuple[float, float]:
    """`named` and `wrong` of a text, by the probabilities of the classes."""
    if classes_K is None:
        return 0.0, 0.0
    masses = [(len(classes), float(classes_K[list(classes)].sum())) for classes in classes_in(text, taxonomy)]
    narrow = [mass for count, mass in masses if count <= NARROW]
    return max((mass for _, mass in masses), default=0.0), 1 - min(narrow, default=1.0)


def sure_of(classes_K: Rows, taxonomy: Taxonomy, *, least: float) -> str | None:
    """The narrowest class or hypernym that has at least a probability, behind its article; None if there is none."""
    best = int(classes_K.argmax())
    if classes_K[best] >= least:
        return with_article(taxonomy.names_of(best)[0])
    for concept in sorted(taxonomy.hypernyms_of(best), key=lambda one: len(one.classes)):
        if classes_K[list(concept.classes)].sum() >= least:
            return with_article(concept.names[0])
    return None


class WordChooser:
    """Writes captions with a model's Y-Decoder.

    Args:
        model: With a Y-Decoder, on its device.
        processor: With the decoder's words.
        embed: Embeddings [N, D] of texts, unit norm.
    """

    def __init__(self, model: Any, processor: Any, *, embed: Any) -> None:
        self.decoder = model.y_decoder
        self.words = processor.words
        self.embed = embed
        self.device = model.log_scale.device
        entities = self.decoder.config.entities
        self.taxonomy = None if entities is None else Taxonomy.of(entities.names)
        self.choice: ChoiceConfig = self.decoder.config.choice

    def entities(self, rows_ND: Rows, classes_NK: Rows | None, *, nearest: bool) -> Entities | None:
        """What the decoder is told beside the embeddings: by the classifier, or by nearness, or nothing."""
        if self.taxonomy is None:
            return None
        if classes_NK is not None:
            probabilities = torch.from_numpy(classes_NK).to(self.device)
            return Entities.of_probabilities(probabilities, count=self.decoder.config.entities.count)
        return self.decoder.nearest(torch.from_numpy(rows_ND).to(self.device)) if nearest else None

    def candidates(self, rows_ND: Rows, entities: Entities | None, **options: Any) -> list[list[str]]:
        """Texts for every embedding, the decoder's own first choice first; some may be equal."""
        embeddings = torch.from_numpy(rows_ND).to(self.device)
        several = self.words.decode(self.decoder.generate(embeddings, entities=entities, **options))
        each = len(several) // len(rows_ND)
        found = [several[start : start + each] for start in range(0, len(several), each)]
        if entities is not None:
            plain = self.words.decode(self.decoder.generate(embeddings, **options))
            for place, texts in enumerate(found):
                texts += plain[place * each : (place + 1) * each]
        return found

    def evidence(
        self, texts: Sequence[Sequence[str]], rows_ND: Rows, classes_NK: Rows | None, entities: Entities | None
    ) -> list[list[Evidence]]:
        """What speaks for each candidate of each embedding."""
        flat = [text for several in texts for text in several]
        owners = [place for place, several in enumerate(texts) for _ in several]
        cosines = (self.embed([text or " " for text in flat]) * rows_ND[owners]).sum(1)
        ids, mask = self.words.encode(flat, max_tokens=self.decoder.config.generation.max_new_tokens)
        told = None if entities is None else entities.choose(owners)
        rows = torch.from_numpy(rows_ND[owners]).to(self.device)
        likelihoods = self.decoder.log_likelihood(rows, ids.to(self.device), mask.to(self.device), told).tolist()
        found: list[list[Evidence]] = [[] for _ in texts]
        for text, owner, cosine, likelihood in zip(flat, owners, cosines, likelihoods, strict=True):
            classes_K = None if classes_NK is None else classes_NK[owner]
            named, wrong = (0.0, 0.0) if self.taxonomy is None else naming(text, self.taxonomy, classes_K)
            flawed = not text or stutters(text) or not self.words.knows(text)
            found[owner].append(Evidence(float(cosine), likelihood, named, wrong, flawed))
        return found
