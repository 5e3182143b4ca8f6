"""Is a training image or text also in validation or test? Equal files, near images, equal texts.

``drop_near`` takes near copies out of training; ``check`` then looks again, on its own, at what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.mini.records import Caption, Question, normalise
from vljepa.data.fingerprints import FLAT, NEAR_BITS, NEAR_COLOUR, Fingerprint, equal, fingerprint, near

Matcher = Callable[[Sequence[Fingerprint], Sequence[Fingerprint]], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Print:
    """An image's file and its fingerprint."""

    path: str
    fingerprint: Fingerprint


@cache
def print_of(path: Path) -> Print:
    """Return the fingerprint of an image file."""
    return Print(path=path.as_posix(), fingerprint=fingerprint(path))


def pairs(left: Sequence[Print], right: Sequence[Print], *, how: Matcher) -> list[tuple[int, int]]:
    """Return (left, right) for every left image that has a match on the right; ``how`` is ``equal`` or ``near``."""
    found = how([item.fingerprint for item in left], [item.fingerprint for item in right])
    return [(one, int(other)) for one, other in enumerate(found) if other >= 0]


def drop_near(
    rows: Sequence[Caption], prints: Mapping[str, Print], held_out: Sequence[Print]
) -> tuple[list[Caption], list[str]]:
    """Return the rows without those whose image equals or nearly equals a held-out one, and the dropped ids.

    ``prints`` maps ``source_id`` to the fingerprint.
    """
    items = [prints[row["source_id"]] for row in rows]
    bad = {one for how in (equal, near) for one, _ in pairs(items, held_out, how=how)}
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
        same = [f"{items[one].path} = {against[other].path}" for one, other in pairs(items, against, how=equal)]
        if name == "easy_vqa":
            report["reported_only"]["easy_vqa equal files"] = len(same)
            continue
        alike = [f"{items[one].path} ~ {against[other].path}" for one, other in pairs(items, against, how=near)]
        report["equal"][name], report["near"][name] = same, alike
        violations += len(same) + len(alike)
    report["violations"] = violations
    report["rules"] = {"near_bits": NEAR_BITS, "near_colour": NEAR_COLOUR, "flat": FLAT}
    return report
