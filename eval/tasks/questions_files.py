"""Files of questions in their official formats: closed JSON Lines, VQAv2, GQA, TallyQA, POPE and POPEv2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.core.suite import Found
from vljepa.data.records import Visual

YES_NO = ("yes", "no")
COUNTS = tuple(str(number) for number in range(16))


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a picture.

    Args:
        image: The picture.
        query: The question.
        answers: Right ones; the ten people's for VQAv2.
        candidates: What may be answered.
        type: Part of the figures that it belongs to.
        pair: Of POPEv2: what the original and the edited picture share.
    """

    image: Visual
    query: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...]
    type: str = ""
    pair: str = ""


def closed(
    found: Found,
    *,
    image: str = "image",
    question: str = "question",
    answers: str = "answers",
    candidates: str = "candidates",
    type: str = "type",
) -> list[Question]:
    """A table, such as JSON Lines, whose rows have their own candidates."""
    questions = []
    for number, row in found.table("rows"):
        choices = tuple(map(str, found.value(row, candidates, "rows", number)))
        right = found.value(row, answers, "rows", number)
        if len(choices) < 2:
            raise found.wrong("rows", f"row {number} has {len(choices)} candidates")
        questions.append(
            Question(
                found.file_name(found.value(row, image, "rows", number)),
                str(found.value(row, question, "rows", number)),
                (right,) if isinstance(right, str) else tuple(map(str, right)),
                choices,
                str(row.get(type) or ""),
            )
        )
    return questions


def own(found: Found) -> list[Question]:
    """Rows as training takes them for validation: `image`, `query`, `text` and `candidates`."""
    return [
        Question(one.image, one.query, one.texts, one.candidates, one.type)
        for one in found.records("rows", task="vqa")
        if one.image is not None
    ]


def vqa_v2(found: Found) -> list[Question]:
    """Questions and annotations, joined by `question_id`; the candidates are a JSON list of answers."""
    asked, annotated = found.json("questions"), found.json("annotations")
    if not isinstance(asked, dict) or not isinstance(asked.get("questions"), list):
        raise found.wrong("questions", "it has no list `questions`")
    if not isinstance(annotated, dict) or not isinstance(annotated.get("annotations"), list):
        raise found.wrong("annotations", "it has no list `annotations`")
    notes = {found.value(one, "question_id", "annotations", n): one for n, one in enumerate(annotated["annotations"])}
    candidates = _candidates(found)
    questions = []
    for number, one in enumerate(asked["questions"]):
        note = notes.get(found.value(one, "question_id", "questions", number))
        if note is None:
            raise found.wrong("annotations", f"question {one['question_id']} has no annotation")
        people = tuple(str(person["answer"]) for person in found.value(note, "answers", "annotations", number))
        name = f"COCO_val2014_{int(found.value(one, 'image_id', 'questions', number)):012d}.jpg"
        questions.append(
            Question(found.file_name(name, role="questions"), str(one["question"]), people, candidates,
                     str(note.get("answer_type", "")))
        )  # fmt: skip
    return questions


def gqa(found: Found) -> list[Question]:
    """`{qid: {imageId, question, answer}}`; the candidates are a JSON list of answers."""
    content = found.json("questions")
    if not isinstance(content, dict):
        raise found.wrong("questions", "it is not a JSON object of questions by id")
    candidates = _candidates(found)
    questions = []
    for number, one in enumerate(content.values()):
        name = f"{found.value(one, 'imageId', 'questions', number)}.jpg"
        answer = str(found.value(one, "answer", "questions", number))
        types = one.get("types")
        kind = str(types.get("structural", "")) if isinstance(types, dict) else ""
        query = str(found.value(one, "question", "questions", number))
        questions.append(Question(found.file_name(name, role="questions"), query, (answer,), candidates, kind))
    return questions


def tally(found: Found) -> list[Question]:
    """A list of `{image, question, answer, issimple}`; candidates 0 to 15."""
    questions = []
    for number, row in enumerate(_list(found, "questions")):
        name = str(found.value(row, "image", "questions", number))
        answer = str(int(found.value(row, "answer", "questions", number)))
        kind = "simple" if found.value(row, "issimple", "questions", number) else "complex"
        query = str(found.value(row, "question", "questions", number))
        questions.append(Question(found.file_name(name, role="questions"), query, (answer,), COUNTS, kind))
    return questions


def pope(found: Found) -> list[Question]:
    """JSON lines `{question_id, image, text, label}` in three files, whose roles are the kinds."""
    questions = []
    for role in found.files:
        for number, row in found.lines(role):
            name = str(found.value(row, "image", role, number))
            label = str(found.value(row, "label", role, number)).lower()
            if label not in YES_NO:
                raise found.wrong(role, f"row {number} has the label {label!r}, not yes or no")
            query = str(found.value(row, "text", role, number))
            questions.append(Question(found.file_name(name, role=role), query, (label,), YES_NO, role))
    return questions


def popev2(found: Found) -> list[Question]:
    """A list of `{image_name, target_object, query, label}`; a pair has one file name in two folders."""
    questions = []
    for number, row in enumerate(_list(found, "questions")):
        name = str(found.value(row, "image_name", "questions", number)).lstrip("/")
        label = str(found.value(row, "label", "questions", number)).lower()
        if label not in YES_NO:
            raise found.wrong("questions", f"row {number} has the label {label!r}, not Yes or No")
        query = str(found.value(row, "query", "questions", number))
        pair = f"{Path(name).name}: {found.value(row, 'target_object', 'questions', number)}"
        questions.append(Question(found.file_name(name, role="questions"), query, (label,), YES_NO, pair=pair))
    return questions


def _list(found: Found, role: str) -> Sequence[Any]:
    content = found.json(role)
    if not isinstance(content, list):
        raise found.wrong(role, "it is not a JSON list")
    return content


def _candidates(found: Found) -> tuple[str, ...]:
    content = _list(found, "candidates")
    if len(content) < 2 or not all(isinstance(one, str) for one in content):
        raise found.wrong("candidates", "it is not a list of at least two answers")
    return tuple(content)


READERS: dict[str, Callable[..., list[Question]]] = {
    "closed": closed,
    "own": own,
    "vqa_v2": vqa_v2,
    "gqa": gqa,
    "tally": tally,
    "pope": pope,
    "popev2": popev2,
}
