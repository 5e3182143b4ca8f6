"""The easy-VQA images (one coloured shape each) with their questions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from recipes.mini.records import SPLITS, Question, QuestionSplits, Split, stable_key

COLOURS = frozenset(["red", "green", "blue", "black", "gray", "teal", "brown", "yellow"])
SHAPES = frozenset(["circle", "rectangle", "triangle"])
HELD_OUT_IMAGES = 400


def question_type(answer: str) -> str:
    """Return the type of a question by its answer."""
    return "colour" if answer in COLOURS else "shape" if answer in SHAPES else "yesno"


def validation_images(image_ids: list[int], count: int) -> frozenset[int]:
    """Return the training images that are kept for validation, by hash of their number."""
    return frozenset(sorted(image_ids, key=lambda image_id: stable_key("easy_vqa", image_id))[:count])


def questions(data: Path, out: Path, *, held_out: int = HELD_OUT_IMAGES) -> QuestionSplits:
    """Copy the images and return the questions as they are shipped, with some training images held out."""
    answers = sorted((data / "answers.txt").read_text(encoding="utf-8").split())
    rows: QuestionSplits = {split: [] for split in SPLITS}
    for folder in ("train", "test"):
        target = out / "images" / folder
        target.mkdir(parents=True, exist_ok=True)
        images = sorted((data / folder / "images").glob("*.png"), key=lambda path: int(path.stem))
        for path in images:
            if not (target / path.name).is_file():
                shutil.copyfile(path, target / path.name)
        kept = validation_images([int(path.stem) for path in images], held_out if folder == "train" else 0)
        for query, answer, image_id in json.loads((data / folder / "questions.json").read_text(encoding="utf-8")):
            split: Split = "test" if folder == "test" else "validation" if image_id in kept else "train"
            rows[split].append(
                Question(
                    image=f"images/{folder}/{image_id}.png",
                    query=query,
                    text=[answer],
                    candidates=answers,
                    type=question_type(answer),
                    source_id=f"easy_vqa:{folder}/{image_id}",
                )
            )
    return rows
