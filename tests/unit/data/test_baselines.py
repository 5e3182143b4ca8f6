"""What needs no image: numbers that can be worked out by hand."""

import numpy as np
import pytest

from vljepa.data.baselines import Blind, QuestionOnly
from vljepa.data.records import Record


def rows(*asked, kind=""):
    """(question, answer, how often)."""
    found = []
    for query, answer, count in asked:
        found += count * [Record("a.png", texts=(answer,), query=query, candidates=("yes", "no", "red"), type=kind)]
    return found


TRAIN = rows(("is it a cat?", "yes", 8), ("is it a dog?", "no", 6), ("what colour is it?", "red", 3))
TEST = rows(("is it a cat?", "yes", 2), ("is it a dog?", "no", 1), ("is it a dog?", "yes", 1))


def test_majorities_and_the_question_alone():
    found = Blind(TRAIN).measure(TEST)
    assert found == {"majority": 0.75, "majority_per_question": 0.75, "question_only": 0.75}
    typed = [*rows(("is it a cat?", "yes", 2), kind="a"), *rows(("how?", "no", 1), ("how?", "red", 1), kind="b")]
    assert Blind(typed).measure(typed) == {"majority": 0.5, "majority_per_type": 0.75, "question_only": 0.75}


def test_new_questions_are_answered_by_their_words():
    train = [
        record
        for thing in ("cat", "dog", "cow")
        for record in rows((f"is there a {thing}?", "no", 2), (f"what colour is the {thing}?", "red", 3))
    ]
    new = rows(("is there a sheep?", "no", 1), ("what colour is the sheep?", "red", 1))
    assert QuestionOnly(train).hits(new).tolist() == [1, 1]
    found = Blind(train).measure(new)
    assert (found["majority"], found["majority_per_question"], found["question_only"]) == (0.5, 0.5, 1.0)


def test_it_is_the_logistic_regression_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    words = ["is", "what", "cat", "dog", "colour"]
    random = np.random.default_rng(0)
    queries = [" ".join(word for word in words if random.random() < 0.5) or "is" for _ in range(80)]
    answers = [("yes", "no", "red")[(len(query) + int(random.random() < 0.3)) % 3] for query in queries]
    train = [Record("a.png", texts=(answer,), query=query) for query, answer in zip(queries, answers, strict=True)]
    own = QuestionOnly(train, strength=2.0)
    features = own._features(queries).numpy()[:, :-1]
    theirs = linear_model.LogisticRegression(C=2.0, max_iter=5000, tol=1e-8).fit(features, answers)
    ours = (own._features(queries) @ own._weights).softmax(1).numpy()[:, [own.answers[one] for one in theirs.classes_]]
    np.testing.assert_allclose(ours, theirs.predict_proba(features), atol=2e-3)


def test_unknown_answers_and_ties_get_the_benefit_of_the_doubt():
    [unknown] = [Record("a.png", texts=("blue",), query="is it a cat?", candidates=("blue", "pink"))]
    assert QuestionOnly(TRAIN).hits([unknown]).tolist() == [0.5]
    assert Blind(TRAIN).measure([unknown])["majority"] == 0.5
