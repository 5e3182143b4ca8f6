"""VQA questions, with the answers in a file of annotations beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vljepa.data.formats.json_text import load_json
from vljepa.data.formats.registry import Fault, Found, Item
from vljepa.errors import DataError


def recognises(content: Any) -> bool:
    """Whether a JSON file's content is VQA's questions."""
    return isinstance(content, dict) and "questions" in content


def answers_beside(file: Path) -> Path | None:
    """Where the answers to a file of VQA questions are; None for a file that is not called so."""
    name = file.name.replace("OpenEnded_", "").replace("questions", "annotations")
    return file.with_name(name) if name != file.name else None


def vqa_rows(content: Any, found: Found) -> Iterator[Item]:
    """A row per question, with the answer that most people gave; questions without any are passed over.

    `v2_OpenEnded_mscoco_val2014_questions.json` has its answers in `v2_mscoco_val2014_annotations.json`.

    Raises:
        DataError: The answers are not there, or a part is missing.
    """
    file = found.path
    beside = answers_beside(file)
    if beside is None or not beside.is_file():
        name = file.name if beside is None else beside.name
        raise DataError(f"the answers of {str(file)!r} are not there: {name!r}.", fix="put them beside it.")
    answers = load_json(beside)
    try:
        answer_of = {one["question_id"]: one for one in answers["annotations"]}
        for question in content["questions"]:
            answer = answer_of.get(question["question_id"])
            if answer is None:
                yield Fault("questions without an answer", counts=False)
            else:
                yield {
                    "image": _image(content, question["image_id"]),
                    "query": question["question"],
                    "text": answer["multiple_choice_answer"],
                    "type": answer.get("answer_type", ""),
                    "source_id": str(question["image_id"]),
                }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{str(file)!r} and {beside.name!r} are not VQA's: {error} is missing or of another kind.",
            fix="questions have `question_id`, `image_id` and `question`, answers `multiple_choice_answer`.",
        ) from error


def _image(content: dict[str, Any], image_id: Any) -> str:
    """COCO's file name of an image: the images of 2014 name their split, later ones do not."""
    split = str(content.get("data_subtype", ""))
    return f"COCO_{split}_{int(image_id):012d}.jpg" if split.endswith("2014") else f"{int(image_id):012d}.jpg"
