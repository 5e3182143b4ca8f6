"""Skewed questions about the photos, split by image: from the objects counted in them, and from their captions.

`objects` asks how many there are, whether something is there, and which of a kind it is; numbers and nays are as
frequent as they are in the photos. `captions` asks what five people's captions say (after COCO-QA, Ren et al. 2015):
where it is, what colour something has, what somebody does, and on what.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vljepa.errors import DataError

Row = dict[str, Any]
Photo = Mapping[str, Any]

SPLITS = ("train", "validation", "test")
NUMBERS = ("zero", "one", "two", "three", "four", "five")
MANY = "many"
KINDS = {
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    "furniture": ("chair", "couch", "bed", "dining table", "toilet", "bench"),
    "appliance": ("microwave", "oven", "toaster", "sink", "refrigerator", "tv", "laptop"),
}
PLURALS = {"person": "people", "sheep": "sheep", "skis": "skis", "knife": "knives", "mouse": "computer mice"}
ABSENT = 4
"""Objects that are asked for in each photo and are not there: nays outnumber yeas, as among human questions."""

_COLOURS = "red|orange|yellow|green|blue|purple|pink|brown|black|white|gray|grey"
_PLACES = (
    "kitchen|bathroom|living room|bedroom|dining room|office|restaurant|street|road|parking lot|field|park|beach|water"
    "|snow|forest"
)
_WHO = "man|woman|person|boy|girl|child|people|men|women|cat|dog|bear|bird|cow|horse|sheep|elephant|giraffe|zebra"
_THING = r"(?!and\b|or\b|of\b|in\b|on\b|with\b|to\b)[a-z]+"
_COLOURED = re.compile(rf"\b({_COLOURS}) ({_THING})\b")
_DOING = re.compile(rf"\b({_WHO})s? (?:is |are )?([a-z]+ing)\b")
_ON = re.compile(rf"\b({_WHO})s? (?:is |are )?([a-z]+ing) (?:on|in|at|near) (?:a|an|the|some) ({_THING})\b")


def read_photos(folder: Path) -> list[Photo]:
    """Rows of photos.jsonl, in order.

    Raises:
        DataError: There is none.
    """
    file = folder / "photos.jsonl"
    if not file.is_file():
        raise DataError(f"there is no {str(file)!r}.", fix="give the folder of the photos with --photos.")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def split_photos(photos: Sequence[Photo], *, held_out: Mapping[str, Sequence[str]]) -> dict[str, list[Photo]]:
    """By image.

    Args:
        photos: All of them.
        held_out: Ids that the model at the start has not been trained on: `test` are the test; of `validation` one
            half, by a hash of the id, is the validation, and the other is trained on, like all that it does know.
    """
    test, unseen = set(held_out["test"]), sorted(held_out["validation"], key=_hash)
    validation = set(unseen[: len(unseen) // 2])
    parts: dict[str, list[Photo]] = {split: [] for split in SPLITS}
    for photo in photos:
        identity = str(photo["image_id"])
        parts["test" if identity in test else "validation" if identity in validation else "train"].append(photo)
    return parts


def fold_of(held_out: Mapping[str, Sequence[str]], fold: int, *, folds: int) -> dict[str, list[str]]:
    """One part of a cross-validation by image, as for `split_photos`; the next fold is the validation."""
    unseen = sorted([*held_out["test"], *held_out["validation"]], key=_hash)
    return {"test": unseen[fold::folds], "validation": unseen[(fold + 1) % folds :: folds]}


def object_questions(photos: Sequence[Photo]) -> list[Row]:
    """Counts, presence and kinds; each photo is asked for all that it has and for four things that it has not."""
    things = sorted({name for photo in photos for name in photo["objects"]})
    rows = []
    for photo in photos:
        objects = photo["objects"]
        absent = sorted((one for one in things if one not in objects), key=lambda one: _hash(photo["image_id"], one))
        for thing, count in objects.items():
            number = NUMBERS[count] if count < len(NUMBERS) else MANY
            rows.append(_row(photo, f"how many {PLURALS.get(thing, thing + 's')} are there?", number, "count"))
            rows.append(_row(photo, f"is there {_article(thing)}?", "yes", "presence"))
        for thing in absent[:ABSENT]:
            rows.append(_row(photo, f"is there {_article(thing)}?", "no", "presence"))
        for kind, members in KINDS.items():
            present = [name for name in members if name in objects]
            if len(present) == 1:
                rows.append(_row(photo, f"which {kind} is in the photo?", present[0], "kind"))
    return rows


def caption_questions(photos: Sequence[Photo]) -> list[Row]:
    """What the captions of a photo say; of several answers to one question the most frequent."""
    rows = []
    for photo in photos:
        answers_of: dict[tuple[str, str], Counter[str]] = {}
        for caption in photo["captions"]:
            for query, answer, kind in _asked(caption.lower()):
                answers_of.setdefault((query, kind), Counter())[answer] += 1
        rows += [_row(photo, query, found.most_common(1)[0][0], kind) for (query, kind), found in answers_of.items()]
    return rows


def write_data(photos: Path, out: Path, *, held_out: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """Write `objects` and `captions`, a JSONL file per split; candidates are all training answers of the set.

    A held-out row whose answer no training row has is kept out: nothing here could get it right. How many is returned.
    """
    parts = split_photos(read_photos(photos), held_out=held_out)
    sizes: dict[str, dict[str, int]] = {}
    for name, make in (("objects", object_questions), ("captions", caption_questions)):
        made = {split: make(part) for split, part in parts.items()}
        answers = sorted({row["text"] for row in made["train"]})
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        sizes[name] = {"answers": len(answers)}
        for split, rows in made.items():
            known = [row | {"candidates": answers} for row in rows if row["text"] in answers]
            lines = "".join(json.dumps(row) + "\n" for row in known)
            (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
            sizes[name] |= {split: len(known), f"{split} left out": len(rows) - len(known)}
            sizes[name][f"{split} photos"] = len({row["source_id"] for row in known})
    return sizes


def _asked(caption: str) -> Iterator[tuple[str, str, str]]:
    """Question, answer and type of all that a caption says."""
    for found in re.finditer(rf"\b({_PLACES})\b", caption):
        yield "where is this?", found[1], "place"
    for found in _COLOURED.finditer(caption):
        yield f"what color is the {found[2]}?", found[1].replace("grey", "gray"), "color"
    for found in _DOING.finditer(caption):
        yield f"what is the {found[1]} doing?", found[2], "action"
    for found in _ON.finditer(caption):
        yield f"what is the {found[1]} {found[2]} on?", found[3], "on what"


def _row(photo: Photo, query: str, answer: str, kind: str) -> Row:
    identity = f"coco:{photo['image_id']}"
    return {"image": photo["image"], "query": query, "text": answer, "type": kind, "source_id": identity}


def _article(thing: str) -> str:
    return ("an " if thing[0] in "aeiou" else "a ") + thing


def _hash(*parts: object) -> str:
    return hashlib.blake2b(":".join(map(str, parts)).encode()).hexdigest()
