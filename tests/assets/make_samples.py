"""Makes the small committed samples that tests read: ``python tests/assets/make_samples.py DATA --clips CLIPS``.

DATA is what recipes/mini/prepare.py has written (emoji split 0), CLIPS what recipes/mini/clips.py has. Of the test
splits only:

- mini_sample: easy-VQA questions and emoji, chosen by hash, 64-px copies. Questions come with the chance that a
  classifier of the question alone (fitted on all training questions) gets them right. Emoji are of the two styles whose
  licences allow it without attribution on every use.
- mini_words: what `mini` predicts for the 84 test photos (fp16), and their captions (COCO, CC BY 4.0). No pixels: most
  of the photos may not be passed on.
- mini_clips: the first clips that are asked about a direction, about what came first and about what vanished.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from eval.core.prepared import read_captions, read_questions
from eval.tasks.question_only import QuestionOnly
from recipes.mini.records import normalise, stable_key, write_bytes, write_jsonl
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.processing.image import open_image

ASSETS = Path(__file__).resolve().parent
PER_TYPE = 40
CONCEPTS = 60
STYLES = {"google": "Apache-2.0", "fluent": "MIT"}
SIDE = 64
CLIP_TYPES, CLIPS_EACH = ("direction", "first side", "vanished side"), 12
LICENSES = """# Pictures of the control tests

Made by `python tests/assets/make_samples.py` from the test split of `recipes/mini/prepare.py` (emoji split 0).

| folder | from | licence |
|---|---|---|
| `easy_vqa/` | easy-vqa 1.0, (c) Victor Zhou, https://github.com/vzhou842/easy-VQA; test pictures and questions | MIT |
| `emoji/google/` | Noto Color Emoji by Google, in emoji-datasource-google 16.0.0 | Apache-2.0 |
| `emoji/fluent/` | Fluent Emoji 3D by Microsoft, in @lobehub/fluent-emoji-3d 1.1.0; scaled to 64 px | MIT |

Names of the emoji: Unicode CLDR, in emojibase-data 17.0.0 (MIT).
"""


def main() -> None:
    """Write the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared folder of emoji split 0")
    parser.add_argument("--clips", type=Path, help="folder of rendered clips")
    given = parser.parse_args()
    out = ASSETS / "mini_sample"
    shutil.rmtree(out, ignore_errors=True)
    write_jsonl(out / "questions.jsonl", question_rows(given.data, out))
    write_jsonl(out / "emoji.jsonl", emoji_rows(given.data, out))
    write_bytes(out / "LICENSES.md", LICENSES.encode())
    write_words(given.data, ASSETS / "mini_words")
    if given.clips is not None:
        write_clips(given.clips, ASSETS / "mini_clips")


def question_rows(data: Path, out: Path) -> list[dict[str, Any]]:
    """As many questions of every type, two or three an image; yes and no as often as each other."""
    test = read_questions(data, "easy_vqa", "test")
    # The templates share all their words between train and test: words say everything here.
    train = read_questions(data, "easy_vqa", "train")
    blind = QuestionOnly(train, embed=lambda queries: np.zeros((len(queries), 1), dtype=np.float32))
    chosen: list[Record] = []
    images = sorted({record.source_id for record in test}, key=lambda one: stable_key("sample", one))[:60]
    order = [record for image in images for record in test if record.source_id == image]
    order.sort(key=lambda record: stable_key("sample", record.source_id, record.query))
    for kind in ("colour", "shape"):
        chosen += [record for record in order if record.type == kind][:PER_TYPE]
    for answer in ("yes", "no"):
        chosen += [record for record in order if record.texts[0] == answer][: PER_TYPE // 2]
    rows = []
    for record in chosen:
        assert isinstance(record.image, Path)
        image = f"easy_vqa/{record.image.name}"
        copy_small(record.image, out / image)
        row = {"image": image, "query": record.query, "text": list(record.texts), "candidates": list(record.candidates)}
        known = round(blind.hit(record), 4)
        rows.append(row | {"type": record.type, "source_id": record.source_id, "question_only": known})
    return rows


def emoji_rows(data: Path, out: Path) -> list[dict[str, Any]]:
    """One image of every chosen concept, the styles in turn; concepts whose names share no word."""
    test = [item for item in read_captions(data, "emoji", "test") if item.style in STYLES]
    rows: list[dict[str, Any]] = []
    used: set[str] = set()
    for concept in sorted({item.concept for item in test}, key=lambda one: stable_key("sample", one)):
        style = list(STYLES)[len(rows) % len(STYLES)]
        item = next((item for item in test if item.concept == concept and item.style == style), None)
        if item is None or len(rows) == CONCEPTS or used & set(normalise(item.texts[0]).split()):
            continue
        used |= set(normalise(item.texts[0]).split())
        image = f"emoji/{style}/{item.path.name}"
        copy_small(item.path, out / image)
        rows.append({"image": image, "text": item.texts[0], "source_id": item.source_id, "license": STYLES[style]})
    return rows


def copy_small(source: Path, target: Path) -> None:
    """Copy a small image byte for byte; save a larger one in 64 pixels."""
    target.parent.mkdir(parents=True, exist_ok=True)
    image = open_image(source, max_pixels=10_000_000)
    if max(image.size) <= SIDE:
        shutil.copyfile(source, target)
    else:
        image.resize((SIDE, SIDE)).save(target, optimize=True)


def write_words(data: Path, out: Path) -> None:
    """Embed the photos, and write predictions and captions."""
    photos = read_captions(data, "photos", "test")
    embedder = Embedder.from_pretrained("mini")
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "photos.npy", embedder.images([photo.path for photo in photos]).astype(np.float16))
    sample = {
        "licence": "captions: COCO (Microsoft COCO: Common Objects in Context), CC BY 4.0",
        "text_space": embedder.model.text_space_hash(),
        "photos": [{"source_id": photo.source_id, "captions": photo.texts} for photo in photos],
    }
    (out / "photos.json").write_text(json.dumps(sample, indent=1) + "\n", encoding="utf-8")


def write_clips(clips: Path, out: Path) -> None:
    """Copy clips, and write the questions about them."""
    rows = [json.loads(line) for line in (clips / "questions.test.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [row for kind in CLIP_TYPES for row in [row for row in rows if row["type"] == kind][:CLIPS_EACH]]
    out.mkdir(parents=True, exist_ok=True)
    for row in kept:
        name = Path(row["video"]).name
        shutil.copyfile(clips / row["video"], out / name)
        row["video"] = name
    (out / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


if __name__ == "__main__":
    main()
