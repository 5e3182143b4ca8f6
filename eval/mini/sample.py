"""Makes the small committed sample for the control tests: ``python -m eval.mini.sample PATH/TO/DATA OUT``.

Pictures of the test split only, chosen by hash; 64-px copies. easy-VQA questions come with the chance that a classifier
of the question alone (fitted on all training questions) gets them right. Emoji are of the two styles whose licences
allow it without attribution on every use.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.mini.data import read_captions, read_questions
from eval.mini.question_only import QuestionOnly
from recipes.mini.records import normalise, stable_key, write_bytes, write_jsonl
from vljepa.data.records import Record
from vljepa.processing.image import open_image

PER_TYPE = 40
CONCEPTS = 60
STYLES = {"google": "Apache-2.0", "fluent": "MIT"}
SIDE = 64
LICENSES = """# Pictures of the control tests

Made by `python -m eval.mini.sample` from the test split of `recipes/mini/prepare.py` (emoji split 0).

| folder | from | licence |
|---|---|---|
| `easy_vqa/` | easy-vqa 1.0, (c) Victor Zhou, https://github.com/vzhou842/easy-VQA; test pictures and questions | MIT |
| `emoji/google/` | Noto Color Emoji by Google, in emoji-datasource-google 16.0.0 | Apache-2.0 |
| `emoji/fluent/` | Fluent Emoji 3D by Microsoft, in @lobehub/fluent-emoji-3d 1.1.0; scaled to 64 px | MIT |

Names of the emoji: Unicode CLDR, in emojibase-data 17.0.0 (MIT).
"""


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared folder of emoji split 0")
    parser.add_argument("out", type=Path, help="folder to write")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    write_jsonl(given.out / "questions.jsonl", question_rows(given.data, given.out))
    write_jsonl(given.out / "emoji.jsonl", emoji_rows(given.data, given.out))
    write_bytes(given.out / "LICENSES.md", LICENSES.encode())


def question_rows(data: Path, out: Path) -> list[dict[str, Any]]:
    """As many questions of every type, two or three a picture; yes and no as often as each other."""
    test = read_questions(data, "easy_vqa", "test")
    blind = QuestionOnly(read_questions(data, "easy_vqa", "train"), embed=_no_embedding)
    chosen: list[Record] = []
    pictures = sorted({record.source_id for record in test}, key=lambda one: stable_key("sample", one))[:60]
    order = [record for picture in pictures for record in test if record.source_id == picture]
    order.sort(key=lambda record: stable_key("sample", record.source_id, record.query))
    for kind in ("colour", "shape"):
        chosen += [record for record in order if record.type == kind][:PER_TYPE]
    for answer in ("yes", "no"):
        chosen += [record for record in order if record.texts[0] == answer][: PER_TYPE // 2]
    rows = []
    for record in chosen:
        assert record.image is not None
        image = f"easy_vqa/{record.image.name}"
        _copy(record.image, out / image)
        rows.append(
            {
                "image": image,
                "query": record.query,
                "text": list(record.texts),
                "candidates": list(record.candidates),
                "type": record.type,
                "source_id": record.source_id,
                "question_only": round(blind.hit(record), 4),
            }
        )
    return rows


def emoji_rows(data: Path, out: Path) -> list[dict[str, Any]]:
    """One picture of every chosen concept, the styles in turn; concepts whose names share no word."""
    test = [item for item in read_captions(data, "emoji", "test") if item.style in STYLES]
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for concept in sorted({item.concept for item in test}, key=lambda one: stable_key("sample", one)):
        style = list(STYLES)[len(rows) % len(STYLES)]
        item = next((item for item in test if item.concept == concept and item.style == style), None)
        if item is None or len(rows) == CONCEPTS or said & set(normalise(item.texts[0]).split()):
            continue
        said |= set(normalise(item.texts[0]).split())
        image = f"emoji/{style}/{item.path.name}"
        _copy(item.path, out / image)
        rows.append({"image": image, "text": item.texts[0], "source_id": item.source_id, "license": STYLES[style]})
    return rows


def _copy(source: Path, target: Path) -> None:
    """Copy a small picture byte for byte; save a larger one in 64 pixels."""
    target.parent.mkdir(parents=True, exist_ok=True)
    image = open_image(source, max_pixels=10_000_000)
    if max(image.size) <= SIDE:
        shutil.copyfile(source, target)
    else:
        image.resize((SIDE, SIDE)).save(target, optimize=True)


def _no_embedding(queries: Sequence[str]) -> NDArray[np.float32]:
    """The templates share all their words between train and test: words say everything here."""
    return np.zeros((len(queries), 1), dtype=np.float32)


if __name__ == "__main__":
    main()
