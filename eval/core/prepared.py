"""Reads a folder of `recipes/mini/prepare.py`: captioned images, questions, and captions by image."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.mini.records import ascii_text, normalise
from vljepa.configs import SourceConfig
from vljepa.data.records import Record
from vljepa.data.sources import load_source

CAPTION_SOURCES = ("emoji", "clipart", "photos")
QUESTION_SOURCES = ("emoji", "clipart", "photos", "easy_vqa")


@dataclass(frozen=True, slots=True)
class Captioned:
    """An image and its texts; `texts[0]` is the caption that the emoji test uses."""

    path: Path
    texts: tuple[str, ...]
    source_id: str
    concept: str
    style: str


def read_captions(folder: Path, source: str, split: str) -> list[Captioned]:
    """Captioned images of one source and split; empty when the folder has none."""
    rows = _rows(folder / source / f"captions.{split}.jsonl")
    return [
        Captioned(
            path=(folder / source / row["image"]).resolve(),
            texts=tuple(row["text"]),
            source_id=row["source_id"],
            concept=row["concept"],
            style=row["style"],
        )
        for row in rows
    ]


def read_questions(folder: Path, source: str, split: str) -> list[Record]:
    """Questions of one source and split; empty when the folder has none."""
    path = folder / source / f"questions.{split}.jsonl"
    if not path.is_file() or path.stat().st_size == 0:
        return []
    return load_source(SourceConfig(name=source, path=str(path), task="vqa"))


def captions_by_image(folder: Path, tsv: Path | None) -> list[list[str]]:
    """Captions of COCO images that are nobody's test: two or more an image, for baselines that see text alone.

    Left out, as in the preparation: the validation and test photos by image id, and any caption that is word for word
    one of theirs. `text/captions.train.jsonl` of the folder is used when it is there, else `image_id<TAB>caption`.
    """
    prepared = folder / "text/captions.train.jsonl"
    if prepared.is_file():
        return [texts for row in _rows(prepared) if len(texts := list(row["text"])) > 1]
    if tsv is None:
        return []
    held_out = [row for split in ("validation", "test") for row in read_captions(folder, "photos", split)]
    ids = {row.source_id.removeprefix("coco:") for row in held_out}
    texts_of_held_out = {normalise(text) for row in held_out for text in row.texts}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for line in tsv.read_text(encoding="utf-8").splitlines():
        image_id, _, caption = line.partition("\t")
        text = ascii_text(caption)
        if image_id.isdigit() and str(int(image_id)) not in ids and text and normalise(text) not in texts_of_held_out:
            groups[image_id].append(text)
    return [texts for texts in groups.values() if len(texts) > 1]


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
