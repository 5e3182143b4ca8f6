"""JSON files of annotations: COCO captions, VQA questions with their answers, or a plain list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vljepa.errors import DataError


def json_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a JSON file, with their numbers from 1.

    COCO captions (`images` and `annotations` with `caption`) give a row per picture with all its captions. VQA
    questions (`questions`) give a row per question with the answer that most people gave, out of the file of
    annotations beside them: `v2_OpenEnded_mscoco_val2014_questions.json` has `v2_mscoco_val2014_annotations.json`. A
    list of objects is taken as JSON Lines are.

    Raises:
        DataError: It is none of these, or a part is missing.
    """
    content = _load(file)
    if isinstance(content, list):
        rows = content
    elif isinstance(content, dict) and "questions" in content:
        rows = list(_vqa(content, file))
    elif isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        rows = list(_coco(content, file))
    else:
        raise DataError(
            f"{str(file)!r} is neither COCO captions, VQA questions nor a list of objects.",
            fix="COCO has `images` and `annotations`, VQA has `questions`; or write JSON Lines.",
        )
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{file}, row {number}: not a JSON object.", fix="give a list of objects.")
        yield number, row


def answers_beside(file: Path) -> Path | None:
    """Where the answers to a file of VQA questions are; None for a file that is not called so."""
    name = file.name.replace("OpenEnded_", "").replace("questions", "annotations")
    return file.with_name(name) if name != file.name else None


def _coco(content: dict[str, Any], file: Path) -> Iterator[dict[str, Any]]:
    texts: dict[Any, list[str]] = {}
    try:
        for one in content["annotations"]:
            texts.setdefault(one["image_id"], []).append(one["caption"])
        for picture in content["images"]:
            if picture["id"] in texts:
                yield {"image": picture["file_name"], "text": texts[picture["id"]], "source_id": str(picture["id"])}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{str(file)!r} is not COCO captions: {error} is missing or of another kind.",
            fix="images have `id` and `file_name`, annotations `image_id` and `caption`.",
        ) from error


def _vqa(content: dict[str, Any], file: Path) -> Iterator[dict[str, Any]]:
    beside = answers_beside(file)
    if beside is None or not beside.is_file():
        name = file.name if beside is None else beside.name
        raise DataError(f"the answers of {str(file)!r} are not there: {name!r}.", fix="put them beside it.")
    answers = _load(beside)
    try:
        answer_of = {one["question_id"]: one for one in answers["annotations"]}
        for question in content["questions"]:
            answer = answer_of.get(question["question_id"])
            if answer is not None:
                yield {
                    "image": _vqa_picture(content, question["image_id"]),
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


def _vqa_picture(content: dict[str, Any], image_id: Any) -> str:
    """COCO's file name of a picture: the pictures of 2014 name their split, later ones do not."""
    split = str(content.get("data_subtype", ""))
    return f"COCO_{split}_{int(image_id):012d}.jpg" if split.endswith("2014") else f"{int(image_id):012d}.jpg"


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{str(file)!r} is no readable JSON: {error}.", fix="save it as UTF-8 JSON.") from error
