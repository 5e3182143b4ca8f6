from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.tasks.coco_classes import CLASSES, hits_in_truth
from eval.tasks.question_only import Majority, QuestionOnly, swapped_images
from vljepa.data.records import Record


def question(query: str, answer: str, candidates: Sequence[str], *, kind: str = "yesno", image: int = 0) -> Record:
    return Record(
        image=Path(f"{image}.png"),
        texts=(answer,),
        query=query,
        source_id=str(image),
        candidates=tuple(candidates),
        type=kind,
        source="s",
    )


def embed(queries: Sequence[str]) -> np.ndarray:
    return np.zeros((len(queries), 2), dtype=np.float32)


def train_rows() -> list[Record]:
    rows = [question("is it red?", "yes" if number < 9 else "no", ["yes", "no"]) for number in range(10)]
    rows += [question("is it blue?", "no" if number < 9 else "yes", ["yes", "no"]) for number in range(10)]
    return rows + [question("which colour?", "red", ["red", "blue"], kind="colour") for _ in range(3)]


def test_question_only_reads_the_question() -> None:
    blind = QuestionOnly(train_rows(), embed=embed)
    assert blind.hit(question("is it red?", "yes", ["yes", "no"])) == 1.0
    assert blind.hit(question("is it red?", "no", ["yes", "no"])) == 0.0
    assert blind.hit(question("is it blue?", "no", ["yes", "no"])) == 1.0


def test_question_only_stays_within_the_candidates() -> None:
    """`yes` is likelier for this query, but it is no candidate here."""
    blind = QuestionOnly(train_rows(), embed=embed)
    assert blind.hit(question("is it red?", "no", ["no", "red"])) == 1.0


def test_answers_never_seen_are_guessed_among() -> None:
    blind = QuestionOnly(train_rows(), embed=embed)
    assert blind.hit(question("what is this?", "axolotl", ["axolotl", "newt", "frog", "toad"])) == 0.25


def test_question_only_uses_the_embedding_where_words_are_new() -> None:
    def by_meaning(queries: Sequence[str]) -> np.ndarray:
        return np.array([[3.0, 0.0] if "how many" in q or "count" in q else [0.0, 3.0] for q in queries], np.float32)

    rows = [question("how many cats?", "two", ["two", "cat"]), question("name it", "cat", ["two", "cat"])] * 5
    blind = QuestionOnly(rows, embed=by_meaning, strength=100.0)
    assert blind.hit(question("count these", "two", ["two", "cat"])) == 1.0


def test_one_answer_only_is_no_classification() -> None:
    blind = QuestionOnly([question("q", "yes", ["yes", "no"])], embed=embed)
    assert blind.hit(question("q", "yes", ["yes", "no"])) == 1.0


def test_majority_is_that_of_the_type_among_the_candidates() -> None:
    majority = Majority([*train_rows(), question("q", "yes", ["yes", "no"])])
    assert majority.hit(question("anything", "yes", ["yes", "no"])) == 1.0
    assert majority.hit(question("anything", "red", ["red", "blue"], kind="colour")) == 1.0
    assert majority.hit(question("anything", "blue", ["blue", "green"], kind="colour")) == 0.5


def test_swapped_images_are_others_of_the_same_type() -> None:
    rows = [question("q", "yes", ["yes", "no"], image=number // 3) for number in range(30)]
    rows += [question("q", "red", ["red", "blue"], kind="colour", image=100 + number) for number in range(5)]
    swapped = swapped_images(rows)
    assert all(path != row.image for path, row in zip(swapped, rows, strict=True))
    assert {path.stem for path in swapped[30:]} <= {str(number) for number in range(100, 105)}
    assert swapped == swapped_images(rows)


def test_a_lone_image_has_no_other() -> None:
    row = question("q", "yes", ["yes", "no"])
    assert swapped_images([row]) == [row.image]


def test_class_is_right_when_it_is_present_and_strictly_best() -> None:
    truth = np.array([[True, True, False]] * 4)
    scores = np.array([[0.1, 0.9, 0.3], [0.1, 0.2, 0.3], [0.5, 0.1, 0.5], [0.7, 0.7, 0.1]], dtype=np.float32)
    assert hits_in_truth(scores, truth, k=1).tolist() == [True, False, False, True]


def test_there_are_eighty_classes() -> None:
    assert len(set(CLASSES)) == 80


@pytest.mark.parametrize("answers", [1, 13])
def test_probabilities_do_not_depend_on_row_order(answers: int) -> None:
    rows = [question(f"q {number % 7}", f"a{number % answers}", [f"a{number % answers}", "z"]) for number in range(60)]
    one, other = QuestionOnly(rows, embed=embed), QuestionOnly(rows[::-1], embed=embed)
    asked = [question(f"q {number}", "a0", ["a0", "z"]) for number in range(7)]
    assert [one.hit(row) for row in asked] == [other.hit(row) for row in asked]
