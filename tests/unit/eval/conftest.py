"""A prepared folder of shapes that stands in for mini's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import draw_shape, write_rows

COLOURS, SHAPES = ("red", "green", "blue", "black"), ("circle", "square", "bar")
SPLITS = {"train": -4, "validation": 0, "test": 4}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As recipes/mini/prepare.py writes it, and beside it the photos' folder and the captions by image."""
    root = tmp_path_factory.mktemp("prepared")
    for folder in ("emoji/images/round", "emoji/images/flat", "photos/images", "easy_vqa/images", "raw/images", "text"):
        (root / "data" / folder).mkdir(parents=True)
    data, photos = root / "data", []
    for number, (split, shift) in enumerate(SPLITS.items()):
        emoji: list[dict[str, Any]] = []
        photo: list[dict[str, Any]] = []
        asked: list[dict[str, Any]] = []
        for place, (colour, shape) in enumerate((c, s) for c in COLOURS for s in SHAPES):
            for step, style in enumerate(("round", "flat")):
                image = f"images/{style}/{split}{place}.png"
                draw_shape(data / "emoji" / image, colour=colour, shape=shape, shift=shift + step)
                name = {"text": [f"{colour} {shape}"], "concept": f"{colour} {shape}", "style": style}
                emoji.append({"image": image, "source_id": image, "license": "MIT"} | name)
            image_id = 100 * number + place
            image = f"images/{image_id}.png"
            draw_shape(data / "photos" / image, colour=colour, shape=shape, shift=shift + 2)
            texts = [f"{word} {colour} {shape} {image_id}" for word in ("a", "one", "some")]
            row = {"image": image, "text": texts, "source_id": f"coco:{image_id}", "concept": f"photo {image_id}"}
            photo.append(row | {"style": "photo", "license": "CC BY 2.0"})
            photos.append({"image": image, "image_id": image_id, "split": "val2017", "objects": {"cat": 1, "dog": 2}})
            question = {"image": image, "query": "which colour?", "text": [colour], "candidates": list(COLOURS)}
            asked.append(question | {"type": "colour", "source_id": f"coco:{image_id}"})
        write_rows(data / "emoji" / f"captions.{split}.jsonl", emoji)
        write_rows(data / "photos" / f"captions.{split}.jsonl", photo)
        write_rows(data / "photos" / f"questions.{split}.jsonl", asked)
    write_rows(data / "photos/photos.jsonl", photos)
    (data / "summary.json").write_text('{"split_seed": 0}', encoding="utf-8")
    lines = [f"{image_id}\tcaption {word} of {image_id}" for image_id in range(400) for word in "ab"]
    (root / "captions.tsv").write_text("\n".join(lines), encoding="utf-8")
    return root
