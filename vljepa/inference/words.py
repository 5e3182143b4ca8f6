"""Words for predicted embeddings: candidates from the Y-Decoder, the best of them, and how sure that one is.

A candidate is better the nearer its embedding is to the predicted one, the likelier the decoder finds it, and the more
of what it names the encoder names too. What stutters or holds a word that no training text has is not taken. Below a
confidence the caption falls back to the narrowest thing that the encoder is sure of.

Shapes: N embeddings of width D, K classes of the X-Encoder's classifier, C candidates each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AnswerChoiceConfig, ChoiceConfig
from vljepa.models.types import Entities
from vljepa.processing.nouns import classes_in, with_article
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.taxonomy import Taxonomy

Rows = NDArray[np.float32]
Task: TypeAlias = Literal["caption", "answer", "text"]
"""What embeddings are read as: a prediction without a question, one under a question, or a text's own embedding."""

BATCH = 32
NARROW = 20
"""A noun with at most so many classes says something that can be wrong."""
_MAY_REPEAT = {"the", "and", "with", "are", "has", "two", "three", "one", "other", "that", "his", "her", "its", "their",
               "for", "from", "next", "near", "some"}  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What is said for an embedding.

    Args:
        text: The caption.
        confidence: Calibrated probability that the caption names what is there, or something wider; of an answer, that
            it is right. None of a decoder for which that was not fitted.
    """

    text: str
    confidence: float | None


@dataclass(frozen=True)
class Evidence:
    """What speaks for a candidate.

    Args:
        agreement: Cosine of its embedding and the predicted one.
        likelihood: Mean log-probability of its tokens.
        named: Highest probability, by the encoder, of what one of its nouns means; 0 without such a noun.
        wrong: 1 less the lowest probability of one of its narrow nouns; 0 without such a noun.
        phrase: Whether it is a phrase that the decoder keeps.
    """

    agreement: float
    likelihood: float
    named: float
    wrong: float
    phrase: bool = False

    def score(self, config: ChoiceConfig | AnswerChoiceConfig) -> float:
        """The higher, the better."""
        if isinstance(config, AnswerChoiceConfig):
            return self.agreement + config.likelihood * self.likelihood - (config.phrase if self.phrase else 0.0)
        return (
            config.agreement * self.agreement
            + config.likelihood * self.likelihood
            + config.named * self.named
            - config.wrong * self.wrong
            - (config.phrase if self.phrase else 0.0)
        )

    def values(self) -> list[float]:
        """What the confidence is a logistic regression on: 1, and the four in their order."""
        return [1.0, self.agreement, self.likelihood, self.named, self.wrong]

    def confidence(self, weights: Sequence[float] | None) -> float | None:
        """Logistic regression on the first so many values as there are weights."""
        if weights is None:
            return None
        return float(1 / (1 + np.exp(-np.dot(weights, self.values()[: len(weights)]))))


def stutters(text: str) -> bool:
    """Whether two words follow each other twice, or one follows itself."""
    pairs = list(pairwise(text.lower().split()))
    return len(set(pairs)) < len(pairs) or any(one == two for one, two in pairs)


def repeats(text: str) -> bool:
    """Whether a word that carries meaning is said twice, as in "a cat on top of a Persian cat"."""
    words = [word for word in text.lower().split() if len(word) > 2 and word not in _MAY_REPEAT]
    return len(set(words)) < len(words)


def naming(text: str, taxonomy: Taxonomy, classes_K: Rows) -> tuple[float, float]:
    """`named` and `wrong` of a text, by the probabilities of the classes."""
    masses = [(len(classes), float(classes_K[list(classes)].sum())) for classes in classes_in(text, taxonomy)]
    narrow = [mass for count, mass in masses if count <= NARROW]
    return max((mass for _, mass in masses), default=0.0), 1 - min(narrow, default=1.0)


def sure_of(classes_K: Rows, taxonomy: Taxonomy, *, least: float) -> tuple[str, float] | None:
    """The narrowest class or hypernym that has at least a probability, behind its article, and that probability."""
    best = int(classes_K.argmax())
    above = sorted(taxonomy.hypernyms_of(best), key=lambda one: len(one.classes))
    for names, classes in [(taxonomy.names_of(best), (best,)), *((one.names, one.classes) for one in above)]:
        probability = float(classes_K[list(classes)].sum())
        if probability >= least:
            return with_article(names[0]), min(1.0, probability)
    return None


class Writer:
    """Writes captions with a model's Y-Decoder.

    Args:
        model: With a Y-Decoder.
        processor: Of the model, with the decoder's tokenizer.
        embed: Embeddings [N, D] of texts, unit norm.
        kept: The same for texts that are asked for again and again; `embed` when absent.
    """

    def __init__(
        self,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        *,
        embed: Callable[[Sequence[str]], Rows],
        kept: Callable[[Sequence[str]], Rows] | None = None,
    ) -> None:
        assert model.y_decoder is not None
        assert processor.words is not None
        self.model = model
        self.decoder = model.y_decoder
        self.words = processor.words
        self.embed = embed
        self.kept = kept or embed
        self._phrases = frozenset(self.decoder.phrases)
        self._device = next(model.parameters()).device
        config = self.decoder.config
        self.choice = config.choice
        self.taxonomy = None if config.entities is None else Taxonomy.of(config.entities.names)
        self._by_classifier = config.entities is not None and config.entities.of_classifier(model.config.residual)

    def write(
        self, rows_ND: Rows, classes_NK: Rows | None = None, *, task: Task = "caption", **options: Any
    ) -> list[Words]:
        """The best candidate for every embedding; of a text's own the decoder's first.

        Args:
            rows_ND: Predicted embeddings.
            classes_NK: What the X-Encoder's own classifier says, where the embeddings come from images; zeros tell
                nothing.
            task: What the embeddings are.
            options: As for `YDecoder.generate`.
        """
        found: list[Words] = []
        fitted = self.choice.confidence if task == "caption" else self.choice.answer.confidence
        for texts, weigh in self._candidates(rows_ND, classes_NK, task=task, **options):
            if task == "text" or (fitted is None and all(len(several) == 1 for several in texts)):
                found += [Words(several[0], None) for several in texts]
                continue
            known: Sequence[Rows | None] = [None] * len(texts)
            if classes_NK is not None and self._by_classifier:
                known = list(classes_NK[len(found) : len(found) + len(texts)])
            for several, evidence, classes_K in zip(texts, weigh(), known, strict=True):
                if task == "caption":
                    found.append(self.caption_of(several, evidence, classes_K))
                else:
                    best = self.best(evidence, task)
                    found.append(Words(several[best], evidence[best].confidence(fitted)))
        return found

    def weighed(
        self, rows_ND: Rows, classes_NK: Rows | None = None, *, task: Task = "caption", **options: Any
    ) -> Iterator[tuple[list[str], list[Evidence]]]:
        """Candidates of every embedding, and what speaks for each; as for `write`."""
        for texts, weigh in self._candidates(rows_ND, classes_NK, task=task, **options):
            yield from zip(texts, weigh(), strict=True)

    def _candidates(
        self, rows_ND: Rows, classes_NK: Rows | None, *, task: Task, **options: Any
    ) -> Iterator[tuple[list[list[str]], Callable[[], list[list[Evidence]]]]]:
        """The same in batches, and what weighs them."""
        for start in range(0, len(rows_ND), BATCH):
            rows, classes = rows_ND[start : start + BATCH], None
            if classes_NK is not None and self._by_classifier:
                classes = classes_NK[start : start + BATCH]
            entities = self.entities(rows, classes)
            texts = self.candidates(rows, entities, task=task, **options)
            yield texts, partial(self.evidence, texts, rows, classes, entities, task=task)

    def best(self, evidence: Sequence[Evidence], task: Task) -> int:
        """Place of the best candidate; the decoder's own first where the choice of an answer was not fitted."""
        if task != "caption" and self.choice.answer.nearest == 0:
            return 0
        config = self.choice if task == "caption" else self.choice.answer
        return max(range(len(evidence)), key=lambda place: evidence[place].score(config))

    def caption_of(self, texts: Sequence[str], evidence: Sequence[Evidence], classes_K: Rows | None) -> Words:
        """The best of one embedding's candidates; where it is unsure, the best that names what is sure, or that.

        Of a drawing the encoder's classifier, which has learned from photos, is not sure: there it is the nearest
        phrase.
        """
        best = self.best(evidence, "caption")
        confidence = evidence[best].confidence(self.choice.confidence)
        unsure = confidence is not None and confidence < self.choice.fallback
        if unsure and classes_K is not None and self.taxonomy is not None:
            phrases = [place for place, one in enumerate(evidence) if one.phrase]
            if phrases and bool(self.decoder.drawn(self._tensor(classes_K[None]))):
                best = max(phrases, key=lambda place: evidence[place].agreement)
                return Words(texts[best], evidence[best].confidence(self.choice.confidence))
            sure = sure_of(classes_K, self.taxonomy, least=self.choice.sure)
            names = [place for place, one in enumerate(evidence) if one.named >= self.choice.sure]
            if names:
                best = max(names, key=lambda place: evidence[place].score(self.choice))
                return Words(texts[best], evidence[best].confidence(self.choice.confidence))
            if sure is not None:
                return Words(*sure)
        return Words(texts[best], confidence)

    def entities(self, rows_ND: Rows, classes_NK: Rows | None) -> Entities | None:
        """What the decoder is told beside the embeddings: by the classifier; without what that says, by nearness."""
        config = self.decoder.config.entities
        if config is None:
            return None
        if classes_NK is not None:
            return Entities.of_probabilities(self._tensor(classes_NK), count=config.count)
        return self.decoder.nearest(self._tensor(rows_ND))

    def candidates(
        self, rows_ND: Rows, entities: Entities | None, *, task: Task = "caption", **options: Any
    ) -> list[list[str]]:
        """Texts for every embedding, the decoder's own first choice first; with entities, without, and phrases.

        What is flawed is left out, unless everything is. Answers are greedy unless beams are asked for: among beams,
        longer phrases go before the one word that is right.
        """
        embeddings = self._tensor(rows_ND)
        if task != "caption" and options.get("num_beams") is None:
            options["num_beams"] = 1
        told = None if entities is None else entities.and_untold()
        asked = embeddings if told is None else torch.cat([embeddings] * 2)
        ids = self.model.generate(
            asked, entities=told, candidates=self.choice.candidates, shift=task == "caption", **options
        )
        texts = self.words.decode(ids, told)
        each = max(1, len(texts) // max(1, len(asked)))
        found: list[list[str]] = [[] for _ in rows_ND]
        for place, text in enumerate(texts):
            found[place // each % len(rows_ND)].append(text)
        near = self._nearest(rows_ND, task)
        distinct = [list(dict.fromkeys([*several, *more])) for several, more in zip(found, near, strict=True)]
        return [[text for text in several if not self._flawed(text)] or several for several in distinct]

    def _nearest(self, rows_ND: Rows, task: Task) -> list[list[str]]:
        """Phrases that are near to each embedding; for answers also the nearest common ones."""
        count = {"caption": self.choice.phrases, "answer": self.choice.answer.nearest, "text": 0}[task]
        texts = self.choice.answer.texts if task == "answer" else []
        found: list[list[str]] = [[] for _ in rows_ND]
        if count > 0 and self._phrases:
            found = self.decoder.nearest_phrases(self._tensor(rows_ND), count=count)
        if count > 0 and texts:
            places = np.argsort(-(rows_ND @ self.kept(texts).T), axis=1, kind="stable")[:, :count]
            found = [
                [*near, *(texts[place] for place in row)] for near, row in zip(found, places.tolist(), strict=True)
            ]
        return found

    def _flawed(self, text: str) -> bool:
        """Whether a text stutters, repeats itself or holds a word that no training text has."""
        return not text or stutters(text) or repeats(text) or not (text in self._phrases or self.words.knows(text))

    def evidence(
        self,
        texts: Sequence[Sequence[str]],
        rows_ND: Rows,
        classes_NK: Rows | None,
        entities: Entities | None,
        *,
        task: Task = "caption",
    ) -> list[list[Evidence]]:
        """What speaks for each candidate of each embedding."""
        flat = [text for several in texts for text in several]
        owners = [place for place, several in enumerate(texts) for _ in several]
        cosines = (self.embed([text or " " for text in flat]) * rows_ND[owners]).sum(1)
        told = None if entities is None else entities.choose(owners)
        limit = self.decoder.config.generation.max_new_tokens
        ids, mask = self.words.encode(flat, max_tokens=limit, entities=told)
        likelihoods = self.decoder.log_likelihood(
            self._tensor(rows_ND[owners]), ids.to(self._device), mask.to(self._device), told, shift=task == "caption"
        )
        found: list[list[Evidence]] = [[] for _ in texts]
        for text, owner, cosine, likelihood in zip(flat, owners, cosines, likelihoods.tolist(), strict=True):
            named, wrong = 0.0, 0.0
            if self.taxonomy is not None and classes_NK is not None:
                named, wrong = naming(text, self.taxonomy, classes_NK[owner])
            found[owner].append(Evidence(float(cosine), likelihood, named, wrong, text in self._phrases))
        return found

    def _tensor(self, rows: Rows) -> Tensor:
        return torch.from_numpy(rows).to(self._device)
