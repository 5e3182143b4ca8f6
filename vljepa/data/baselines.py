"""What questions are answered right without a look at the image: beside every result, so that nobody is fooled.

Majority answers, and a classifier that reads the question alone (a question-only, or blind, baseline).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.data.records import Record

STRENGTHS = (0.1, 1.0, 10.0)
"""Inverse regularisations of the classifier that are tried."""
MOST_ROWS, MOST_WORDS, MOST_ANSWERS = 10_000, 500, 200
"""What is read of large sets: some ten seconds of one core."""
_ITERATIONS = 100
_WORD = re.compile(r"\w+")


class Majority:
    """The most frequent training answer among the rows that are alike, or of all rows where none is.

    Args:
        train: Training questions.
        alike: What rows have in common: their type, their question, or nothing.
    """

    def __init__(self, train: Sequence[Record], *, alike: Callable[[Record], str] = lambda record: "") -> None:
        self._alike = alike
        self._all = Counter(record.texts[0] for record in train)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in train:
            self._counts[alike(record)][record.texts[0]] += 1

    def hit(self, record: Record) -> float:
        """Chance of the right answer: 1, 0, or a share where several candidates are equally frequent."""
        counts, total = self._counts.get(self._alike(record), Counter()), self._all.total() + 1
        candidates = record.candidates or tuple(self._all)
        return expected_hit([counts[one] + self._all[one] / total for one in candidates], candidates, record.texts[0])


class QuestionOnly:
    """Multinomial logistic regression on the words of the question, over the training answers.

    Candidates that are no training answer share the lowest score, and equal scores are guessed among: a control gets
    the benefit of every doubt. Of large sets a part is read: 10,000 rows, 500 words, 200 answers.

    Args:
        train: Training questions.
        strength: Inverse regularisation, as C of scikit-learn.
    """

    def __init__(self, train: Sequence[Record], *, strength: float = 10.0) -> None:
        step = -(-len(train) // MOST_ROWS)
        rows = Counter((record.query, record.texts[0]) for record in train[::step])
        words, answers = Counter[str](), Counter[str]()
        for (query, answer), count in rows.items():
            words.update(dict.fromkeys(_words(query), count))
            answers[answer] += count
        self._words = {word: place for place, (word, _) in enumerate(words.most_common(MOST_WORDS))}
        self.answers = {answer: place for place, (answer, _) in enumerate(answers.most_common(MOST_ANSWERS))}
        queries = {query: place for place, query in enumerate(dict.fromkeys(query for query, _ in rows))}
        counts_QA = torch.zeros(len(queries), len(self.answers))
        for (query, answer), count in rows.items():
            if answer in self.answers:
                counts_QA[queries[query], self.answers[answer]] = count
        self._weights = fit_classifier(self._features(list(queries)), counts_QA, strength=strength)

    def hits(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """Chance of the right answer to each question."""
        logits_NA = (self._features([record.query for record in records]) @ self._weights).numpy()
        lowest = float(logits_NA.min()) - 1
        found = []
        for logits_A, record in zip(logits_NA, records, strict=True):
            candidates = record.candidates or tuple(self.answers)
            scores = [float(logits_A[self.answers[one]]) if one in self.answers else lowest for one in candidates]
            found.append(expected_hit(scores, candidates, record.texts[0]))
        return np.array(found)

    def _features(self, queries: Sequence[str]) -> Tensor:
        """Which words a question has, and a column of ones."""
        features_QF = torch.zeros(len(queries), len(self._words) + 1)
        features_QF[:, -1] = 1
        for row, query in enumerate(queries):
            features_QF[row, [self._words[word] for word in _words(query) if word in self._words]] = 1
        return features_QF


def fit_classifier(features_QF: Tensor, counts_QA: Tensor, *, strength: float) -> Tensor:
    """Weights [F, A] of a multinomial logistic regression, by L-BFGS; the same for the same data.

    Args:
        features_QF: Features of each row.
        counts_QA: How often each row has each answer.
        strength: Inverse of the L2 penalty; the last feature, the intercept, is not penalised.
    """
    weights_FA = torch.zeros(features_QF.shape[1], counts_QA.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights_FA], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")
    total = counts_QA.sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        likelihood = (counts_QA * (features_QF @ weights_FA).log_softmax(dim=1)).sum()
        loss: Tensor = (weights_FA[:-1].square().sum() / (2 * strength) - likelihood) / total
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights_FA.detach()


class Blind:
    """The accuracies that need no image.

    Args:
        train: Training questions, at least one.
    """

    def __init__(self, train: Sequence[Record]) -> None:
        self._majority = Majority(train)
        self._by_type = Majority(train, alike=lambda record: record.type)
        self._by_question = Majority(train, alike=lambda record: record.query)
        self._classifiers = [QuestionOnly(train, strength=strength) for strength in STRENGTHS]

    def measure(self, rows: Sequence[Record]) -> dict[str, float]:
        """Accuracy on some questions, with candidates or among all training answers.

        `majority`; `majority_per_type`, or `majority_per_question` where rows have no type; and `question_only`. The
        classifier's regularisation is the one that is best on these very rows.
        """
        typed = any(record.type for record in rows)
        alike = self._by_type if typed else self._by_question
        return {
            "majority": float(np.mean([self._majority.hit(record) for record in rows])),
            f"majority_per_{'type' if typed else 'question'}": float(np.mean([alike.hit(record) for record in rows])),
            "question_only": max(float(one.hits(rows).mean()) for one in self._classifiers),
        }


def expected_hit(scores: Sequence[float], candidates: Sequence[str], answer: str) -> float:
    """Chance that a guess among the best-scored candidates is right."""
    best = max(scores)
    tied = [one for one, score in zip(candidates, scores, strict=True) if score >= best - 1e-12]
    return 1 / len(tied) if answer in tied else 0.0


def _words(query: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(query.lower())))
