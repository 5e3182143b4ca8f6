"""What can be answered without the image: the majority answer, and a classifier that reads the question alone."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.data.records import Record, Visual

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class Majority:
    """The most frequent training answer of the row's question type, among the row's candidates."""

    def __init__(self, train: Sequence[Record]) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in train:
            self.counts[record.type][record.texts[0]] += 1

    def hit(self, record: Record) -> float:
        """Chance of the right answer: 1, 0, or a share where several candidates are equally frequent."""
        return expected_hit([float(self.counts[record.type][one]) for one in record.candidates], record)


class QuestionOnly:
    """Logistic regression on the query's bag of words and its Y-Encoder embedding, over the training answers.

    Candidates that no training question has as its answer share the lowest score, and equal scores are guessed
    among: a control gets the benefit of every doubt.

    Args:
        train: Training questions of the source.
        embed: Y-Encoder embeddings of texts.
        strength: Inverse regularisation.
    """

    def __init__(self, train: Sequence[Record], *, embed: Embed, strength: float = 10.0) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        self.embed = embed
        # Queries repeat thousands of times: fit on different (query, answer) pairs, weighted by how often they occur.
        pairs = Counter((record.query, record.texts[0]) for record in train)
        queries = list(dict.fromkeys(query for query, _ in pairs))
        self.words = CountVectorizer(binary=True, token_pattern=r"(?u)\b\w+\b").fit(queries)
        features = dict(zip(queries, self._features(queries), strict=True))
        self.answers = {answer: number for number, answer in enumerate(sorted({answer for _, answer in pairs}))}
        self.model = None
        if len(self.answers) > 1:
            self.model = LogisticRegression(C=strength, max_iter=2000)
            with warnings.catch_warnings():
                # "what is this?" has as many answers as concepts: that they are many is known.
                warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
                self.model.fit(
                    np.stack([features[query] for query, _ in pairs]),
                    [self.answers[answer] for _, answer in pairs],
                    sample_weight=list(pairs.values()),
                )
        self._known: dict[str, NDArray[np.float64]] = {}

    def prepare(self, queries: Sequence[str]) -> None:
        """Score some queries in one go."""
        new = [query for query in dict.fromkeys(queries) if query not in self._known]
        if new:
            one = self.model  # of a single answer there is none
            probabilities = np.ones((len(new), 1)) if one is None else one.predict_proba(self._features(new))
            self._known.update(zip(new, probabilities, strict=True))

    def hit(self, record: Record) -> float:
        """Chance of the right answer, guessing among equal scores."""
        self.prepare([record.query])
        scores = self._known[record.query]
        return expected_hit(
            [float(scores[self.answers[one]]) if one in self.answers else -1.0 for one in record.candidates], record
        )

    def _features(self, queries: Sequence[str]) -> NDArray[np.float64]:
        return np.concatenate([self.words.transform(queries).toarray(), self.embed(queries)], axis=1)


def expected_hit(scores: Sequence[float], record: Record) -> float:
    """Chance that a guess among the best-scored candidates is right."""
    best = max(scores)
    tied = [one for one, score in zip(record.candidates, scores, strict=True) if score >= best - 1e-12]
    return 1 / len(tied) if record.texts[0] in tied else 0.0


def swapped_images(records: Sequence[Record], *, seed: int = 0) -> list[Visual]:
    """For every row, the image of another row of its type that shows another image (its own if there is none)."""
    random = np.random.default_rng(seed)
    by_type: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_type[record.type].append(record)
    result: list[Visual] = []
    for record in records:
        group = by_type[record.type]
        start = int(random.integers(len(group)))
        turned = (group[(start + offset) % len(group)] for offset in range(len(group)))
        other = next((one for one in turned if one.source_id != record.source_id), record)
        assert other.image is not None
        result.append(other.image)
    return result
