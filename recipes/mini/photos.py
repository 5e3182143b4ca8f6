"""The captioned COCO photos: openly licensed ones train, the others only measure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TypedDict, cast

from recipes.mini.records import SPLITS, Caption, CaptionSplits, PrepareError, Split, ascii_text, normalise
from recipes.mini.splitting import OPEN_LICENSES, PHOTO_COUNTS, Assignment, lookup, split_photos


class Photo(TypedDict):
    """A line of ``photos.jsonl``."""

    image: str
    image_id: int
    split: str
    captions: list[str]
    objects: dict[str, int]
    license: str
    flickr_url: str
    coco_url: str


def read_photos(folder: Path) -> list[Photo]:
    """Read ``photos.jsonl`` in ``folder``."""
    path = folder / "photos.jsonl"
    if not path.is_file():
        raise PrepareError(f"no photos.jsonl in {folder}; --photos takes the folder with photos.jsonl and images/")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [cast(Photo, json.loads(line)) for line in lines if line.strip()]


def check_counts(parts: Assignment) -> None:
    """Stop unless the splits have the sizes that every reported number stands on."""
    got = {split: len(parts[split]) for split in SPLITS}
    if got != PHOTO_COUNTS:
        raise PrepareError(f"the photos split into {got}, expected {PHOTO_COUNTS}: is this another photos.jsonl?")


def assign(photos: list[Photo], committed: Assignment) -> dict[str, Split]:
    """Return image id -> split, checked against the committed split, the counts and the licences."""
    parts = split_photos(photos)
    check_counts(parts)
    if parts != committed:
        raise PrepareError("the photos split otherwise than recipes/mini/splits/photos.json: is this another folder?")
    table = lookup(committed)
    for photo in photos:
        assert table[str(photo["image_id"])] != "train" or photo["license"] in OPEN_LICENSES, photo["image_id"]
    return table


def captions(photos: list[Photo], table: dict[str, Split], folder: Path, out: Path) -> CaptionSplits:
    """Copy the images and return the captions of every split."""
    rows: CaptionSplits = {split: [] for split in SPLITS}
    (out / "images").mkdir(parents=True, exist_ok=True)
    for photo in photos:
        image = f"images/{Path(photo['image']).name}"
        target = out / image
        if not target.is_file():
            half = target.with_name(target.name + ".part")
            shutil.copyfile(folder / photo["image"], half)
            half.replace(target)
        rows[table[str(photo["image_id"])]].append(
            Caption(
                image=image,
                text=[ascii_text(caption) for caption in photo["captions"]],
                source_id=f"coco:{photo['image_id']}",
                concept=f"photo {photo['image_id']}",
                style="photo",
                license=photo["license"],
            )
        )
    return rows


class Texts(TypedDict):
    """Captions of one image that is not there: a row for training on text alone."""

    text: list[str]
    source_id: str


def training_texts(tsv: Path, table: dict[str, Split], held_out: Container[str]) -> list[Texts]:
    """Return the captions of ``tsv`` (``image_id<TAB>caption``) by image, two or more each, for text-only training.

    Left out by image id are the validation and test photos, and wherever it stands any caption that is word for word
    one of theirs (``held_out``, normalised).
    """
    by_image: dict[str, list[str]] = {}
    for line in tsv.read_text(encoding="utf-8").splitlines():
        image_id, _, caption = line.partition("\t")
        text = ascii_text(caption)
        if not text or not image_id.isdigit() or table.get(str(int(image_id)), "train") != "train":
            continue
        if normalise(text) not in held_out:
            by_image.setdefault(str(int(image_id)), []).append(text)
    return [Texts(text=texts, source_id=f"coco:{key}") for key, texts in by_image.items() if len(texts) > 1]


def attributions(photos: Iterable[Photo], table: dict[str, Split]) -> list[str]:
    """Return one Markdown table row for every photo that is trained on."""
    rows = []
    for photo in photos:
        if table[str(photo["image_id"])] == "train":
            rows.append(f"| {photo['image_id']} | {photo['license']} | {photo['flickr_url']} | {photo['coco_url']} |")
    return rows
