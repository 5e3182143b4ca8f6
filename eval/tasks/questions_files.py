"""Files of questions in their official formats: closed JSON Lines, VQAv2, GQA, TallyQA, POPE and POPEv2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from eval.core.suite import Fields, Found
from vljepa.data.records import Visual

YES_NO = ("yes", "no")
COUNTS = tuple(str(number) for number in range(16))


class Question(NamedTuple):
    """A question about an image.

    Args:
        image: The image.
        query: The question.
        answers: Right ones; the ten people's for VQAv2.
        candidates: What may be answered.
        type: Part of the figures that it belongs to.
        pair: Of POPEv2: what the original and the edited image share.
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
    role: str = "rows",
) -> list[Question]:
    """A table, such as JSON Lines, whose rows have their own candidates."""
    questions = []
    for row in found.rows(role):
        choices = tuple(row.texts(candidates))
        if len(choices) < 2:
            raise row.wrong(f"has {len(choices)} candidates")
        kind = str(row.row.get(type) or "")
        questions.append(Question(row.file(image), row.text(question), tuple(row.texts(answers)), choices, kind))
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
    asked, annotated = (_inner(found, role) for role in ("questions", "annotations"))
    notes = {note["question_id"]: note for note in annotated}
    candidates, questions = _candidates(found), []
    for one in asked:
        note = notes.get(one["question_id"])
        if note is None:
            raise found.wrong("annotations", f"question {one['question_id']} has no annotation")
        people = tuple(str(person["answer"]) for person in note["answers"])
        image = found.file_name(f"COCO_val2014_{int(one['image_id']):012d}.jpg", role="questions")
        questions.append(
            Question(image, one.text("question"), people, candidates, str(note.row.get("answer_type", "")))
        )
    return questions


def gqa(found: Found) -> list[Question]:
    """`{qid: {imageId, question, answer}}`; the candidates are a JSON list of answers."""
    candidates, questions = _candidates(found), []
    for one in found.listed("questions", dict):
        types = one.row.get("types") if isinstance(one.row, dict) else None
        kind = str(types.get("structural", "")) if isinstance(types, dict) else ""
        image, answer = one.file("imageId", name="{}.jpg"), one.text("answer")
        questions.append(Question(image, one.text("question"), (answer,), candidates, kind))
    return questions


def tally(found: Found) -> list[Question]:
    """A list of `{image, question, answer, issimple}`; candidates 0 to 15."""
    return [
        Question(
            one.file("image"),
            one.text("question"),
            (str(int(one["answer"])),),
            COUNTS,
            "simple" if one["issimple"] else "complex",
        )
        for one in found.listed("questions")
    ]


def pope(found: Found) -> list[Question]:
    """JSON lines `{question_id, image, text, label}` in three files, whose roles are the kinds."""
    return [
        Question(one.file("image"), one.text("text"), _yes_or_no(one), YES_NO, role)
        for role in found.files
        for one in found.rows(role, kind="jsonl")
    ]


def popev2(found: Found) -> list[Question]:
    """A list of `{image_name, target_object, query, label}`; a pair has one file name in two folders."""
    questions = []
    for one in found.listed("questions"):
        name, label = one.text("image_name").lstrip("/"), _yes_or_no(one)
        image, pair = found.file_name(name, role="questions"), f"{Path(name).name}: {one['target_object']}"
        questions.append(Question(image, one.text("query"), label, YES_NO, pair=pair))
    return questions


def _yes_or_no(row: Fields) -> tuple[str]:
    label = row.text("label").lower()
    if label not in YES_NO:
        raise row.wrong(f"has the label {label!r}, not yes or no")
    return (label,)


def _inner(found: Found, role: str) -> list[Fields]:
    """Items of the list that a JSON object has under the name of its role."""
    content = found.json(role)
    if not isinstance(content, dict) or not isinstance(content.get(role), list):
        raise found.wrong(role, f"it has no list `{role}`")
    return [Fields(found, role, number, one) for number, one in enumerate(content[role])]


def _candidates(found: Found) -> tuple[str, ...]:
    content = found.json("candidates", list)
    if len(content) < 2 or not all(isinstance(one, str) for one in content):
        raise found.wrong("candidates", "it is not a list of at least two answers")
    return tuple(content)


READERS: dict[str, Callable[..., list[Question]]] = {
    one.__name__: one for one in (closed, own, vqa_v2, gqa, tally, pope, popev2)
}
