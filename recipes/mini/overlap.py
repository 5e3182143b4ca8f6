"""Is a training picture or text also in validation or test? Equal files, near pictures, equal texts.

``drop_near`` takes near copies out of training; ``check`` then looks again, on its own, at what was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recipes.mini.records import Caption, Question, normalise

NEAR_BITS = 2  # of the 64 bits of the perceptual hash
# Mean difference (0-255) of 8x8 thumbnails: the hash is blind to colour, and a red heart is not a blue one.
NEAR_COLOUR = 24.0
FLAT = 12.0  # standard deviation of grey levels under which the hash is noise


@dataclass(frozen=True, kw_only=True)
class Print:
    """The fingerprint of a picture."""

    path: str
    sha256: str
    bits: int | None
    colours: NDArray[np.float32]


@cache
def fingerprint(path: Path) -> Print:
    """Return the fingerprint of an image file; ``bits`` is None when the picture is flat."""
    data = path.read_bytes()
    with Image.open(path) as image:
        picture = image.convert("RGB")
    thumbnail = np.asarray(picture.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    bits = None if float(grey.std()) < FLAT else int(str(imagehash.phash(picture)), 16)
    return Print(path=path.as_posix(), sha256=hashlib.sha256(data).hexdigest(), bits=bits, colours=thumbnail)


def near_pairs(left: Sequence[Print], right: Sequence[Print]) -> list[tuple[int, int]]:
    """Return the (left, right) index pairs of near pictures: close hashes and close colours."""
    a = [(index, item.bits) for index, item in enumerate(left) if item.bits is not None]
    b = [(index, item.bits) for index, item in enumerate(right) if item.bits is not None]
    if not a or not b:
        return []
    bits_a = np.array([bits for _, bits in a], dtype=np.uint64)
    bits_b = np.array([bits for _, bits in b], dtype=np.uint64)
    pairs = []
    for row, bits in enumerate(bits_a):
        for column in np.flatnonzero(np.bitwise_count(bits_b ^ bits) <= NEAR_BITS):
            one, other = a[row][0], b[int(column)][0]
            if float(np.abs(left[one].colours - right[other].colours).mean()) <= NEAR_COLOUR:
                pairs.append((one, other))
    return pairs


def equal_pairs(left: Sequence[Print], right: Sequence[Print]) -> list[tuple[int, int]]:
    """Return the index pairs of files with the same bytes."""
    where: dict[str, int] = {item.sha256: index for index, item in enumerate(right)}
    return [(index, where[item.sha256]) for index, item in enumerate(left) if item.sha256 in where]


def drop_near(
    rows: Sequence[Caption], prints: Mapping[str, Print], held_out: Sequence[Print]
) -> tuple[list[Caption], list[str]]:
    """Return the rows without those whose picture equals or nearly equals a held-out one, and the dropped ids.

    ``prints`` maps ``source_id`` to the fingerprint.
    """
    items = [prints[row["source_id"]] for row in rows]
    bad = {one for one, _ in equal_pairs(items, held_out)} | {one for one, _ in near_pairs(items, held_out)}
    kept = [row for index, row in enumerate(rows) if index not in bad]
    return kept, [rows[index]["source_id"] for index in sorted(bad)]


def equal_texts(train: Sequence[Caption], what: Sequence[Question], held_out: Mapping[str, str]) -> list[str]:
    """Return training texts that equal the text of a held-out concept (captions and answers to "what is this?")."""
    texts = [(row["source_id"], text) for row in train for text in row["text"]]
    texts += [(row["source_id"], text) for row in what for text in row["text"]]
    return [f"{source}: {text!r}" for source, text in texts if normalise(text) in held_out]


def equal_kinds(questions: Sequence[Question], held_out: Mapping[str, str]) -> list[str]:
    """Return answers such as "bird" that name both a kind (in training) and a held-out concept: known, reported."""
    answers = {row["text"][0] for row in questions if row["type"] != "what"}
    return sorted(answer for answer in answers if normalise(answer) in held_out)


def check(
    train: Mapping[str, Sequence[Print]], held_out: Mapping[str, Sequence[Print]], texts: Sequence[str]
) -> dict[str, Any]:
    """Return the report over all sources: what is equal or near across the line, by source; ``violations`` counts.

    easy_vqa is drawn from templates: equal files there are counted and reported, near ones are its nature.
    """
    report: dict[str, Any] = {"equal": {}, "near": {}, "texts": list(texts), "reported_only": {}}
    others = [item for name, items in held_out.items() if name != "easy_vqa" for item in items]
    violations = len(texts)
    for name, items in train.items():
        against = held_out.get("easy_vqa", []) if name == "easy_vqa" else others
        equal = [f"{items[one].path} = {against[other].path}" for one, other in equal_pairs(items, against)]
        if name == "easy_vqa":
            report["reported_only"]["easy_vqa equal files"] = len(equal)
            continue
        near = [f"{items[one].path} ~ {against[other].path}" for one, other in near_pairs(items, against)]
        report["equal"][name], report["near"][name] = equal, near
        violations += len(equal) + len(near)
    report["violations"] = violations
    report["rules"] = {"near_bits": NEAR_BITS, "near_colour": NEAR_COLOUR, "flat": FLAT}
    return report
