"""Which concept and which photo is for training, validation or test: a pure function, with its result committed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes.mini.records import SPLITS, PrepareError, Split, stable_key, write_json

FOLDER = Path(__file__).with_name("splits")
EMOJI_TEST, EMOJI_VALIDATION = 209, 150
OPEN_LICENSES = frozenset({"CC BY 2.0", "CC BY-SA 2.0", "No known copyright restrictions"})
PHOTO_COUNTS: dict[Split, int] = {"train": 83, "validation": 91, "test": 84}

Assignment = dict[Split, list[str]]


def split_concepts(
    concepts: Iterable[str], seed: int, *, test: int = EMOJI_TEST, validation: int = EMOJI_VALIDATION
) -> Assignment:
    """Deal ``concepts`` into the three splits in the order of a hash of (seed, concept)."""
    order = sorted(set(concepts), key=lambda concept: stable_key("emoji", seed, concept))
    if len(order) <= test + validation:
        raise PrepareError(f"{len(order)} concepts are too few for {test} test and {validation} validation concepts")
    parts: Assignment = {
        "test": sorted(order[:test]),
        "validation": sorted(order[test : test + validation]),
        "train": sorted(order[test + validation :]),
    }
    return parts


def split_of_title(title: str) -> Split:
    """Return the split of a clip-art title: nine tenths train, one twentieth each for validation and test."""
    bucket = int(stable_key("clipart", title)[:8], 16) % 20
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def split_of_photo(photo: Mapping[str, Any]) -> Split:
    """Return the split of a photo: openly licensed ones train, the others test (val2017) or validate (train2017)."""
    if photo["license"] in OPEN_LICENSES:
        return "train"
    return "test" if photo["split"] == "val2017" else "validation"


def split_photos(photos: Sequence[Mapping[str, Any]]) -> Assignment:
    """Return the image ids of every split, as text."""
    parts: Assignment = {split: [] for split in SPLITS}
    for photo in photos:
        parts[split_of_photo(photo)].append(str(photo["image_id"]))
    return {split: sorted(ids, key=int) for split, ids in parts.items()}


def read_split(name: str, folder: Path = FOLDER) -> Assignment:
    """Read a committed split file, such as ``emoji_0`` or ``photos``."""
    path = folder / f"{name}.json"
    if not path.is_file():
        raise PrepareError(f"no split file {path}; make it with --make-splits")
    raw = json.loads(path.read_text(encoding="ascii"))
    return {split: [str(item) for item in raw[split]] for split in SPLITS}


def write_split(name: str, parts: Assignment, folder: Path = FOLDER) -> None:
    """Write a split file."""
    write_json(folder / f"{name}.json", parts)


def lookup(parts: Assignment) -> dict[str, Split]:
    """Return item -> split; an item in two splits is an error."""
    table: dict[str, Split] = {}
    for split in SPLITS:
        for item in parts[split]:
            assert item not in table, f"{item!r} is in {table[item]} and in {split}"
            table[item] = split
    return table
