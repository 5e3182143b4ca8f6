"""Rows of the prepared dataset, and how they are written: one JSON object a line, whole files only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Caption(TypedDict):
    """An image and the texts that describe it; ``text[0]`` is the one that evaluation uses."""

    image: str
    text: list[str]
    source_id: str
    concept: str
    style: str
    license: str


class Question(TypedDict):
    """An image, a question about it, the answer, and the answers to choose from."""

    image: str
    query: str
    text: list[str]
    candidates: list[str]
    type: str
    source_id: str


CaptionSplits = dict[Split, list[Caption]]
QuestionSplits = dict[Split, list[Question]]


class PrepareError(Exception):
    """Something the person who runs the preparation can put right; the message says how."""


def ascii_text(text: str) -> str:
    """Return ``text`` in plain ASCII: curly quotes made straight, accents removed, spaces squeezed."""
    straight = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-"})
    plain = unicodedata.normalize("NFKD", straight).encode("ascii", "ignore").decode("ascii")
    return " ".join(plain.split())


def normalise(text: str) -> str:
    """Return the form in which two texts count as equal: lower case, words and digits only, no leading article."""
    words = re.findall(r"[a-z0-9]+", ascii_text(text).lower().replace("'", ""))
    if len(words) > 1 and words[0] in {"a", "an", "the"}:
        words = words[1:]
    return " ".join(words)


def answer_in_query(answer: str, query: str) -> bool:
    """Tell whether the words of ``answer`` stand in ``query``: then the image would not be needed."""
    return f" {normalise(answer)} " in f" {normalise(query)} "


def stable_key(*parts: object) -> str:
    """Return a hash of ``parts`` that is the same on every machine: the one source of "random" order here."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_bytes(data)
    os.replace(half, path)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON with sorted keys."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode())


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``rows`` as JSON lines."""
    write_bytes(path, "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode())


def check_questions(rows: Iterable[Question]) -> None:
    """Assert what every question must satisfy: one answer, among the candidates, not given away by the query.

    "Is no circle present?" holds the word "no" without giving anything away; such a query must be asked with both
    answers, which is checked.
    """
    negated: dict[str, set[str]] = {}
    for row in rows:
        query, answer = row["query"], row["text"][0]
        assert len(row["text"]) == 1, row
        assert answer in row["candidates"], row
        assert len(set(row["candidates"])) == len(row["candidates"]), row
        if row["type"] == "yesno" and answer_in_query("no", query):
            negated.setdefault(query, set()).add(answer)
        else:
            assert not answer_in_query(answer, query), f"the query holds its answer: {query!r} -> {answer!r}"
    for query, answers in negated.items():
        assert answers == {"yes", "no"}, f"{query!r} is only ever answered {answers}"


def limited(rows: Sequence[Question], limit: int) -> list[Question]:
    """Keep at most ``limit`` rows of each (query, answer), chosen by hash, in the given order."""
    groups: dict[tuple[str, str], list[Question]] = {}
    for row in rows:
        groups.setdefault((row["query"], row["text"][0]), []).append(row)
    kept: set[int] = set()
    for group in groups.values():
        group.sort(key=lambda row: stable_key("limited", row["source_id"], row["query"]))
        kept.update(id(row) for row in group[:limit])
    return [row for row in rows if id(row) in kept]


def even_yes_no(query: str, yes: Sequence[Caption], no: Sequence[Caption], limit: int | None = None) -> list[Question]:
    """Return ``query`` asked of as many "yes" as "no" images: the question alone then tells nothing."""
    size = min(len(yes), len(no), limit if limit is not None else len(yes))
    rows = []
    for answer, pool in (("yes", yes), ("no", no)):
        for row in sorted(pool, key=lambda row: stable_key(query, row["source_id"]))[:size]:
            rows.append(question(row, query, answer, ["yes", "no"], "yesno"))
    return rows


def question(row: Caption, query: str, answer: str, candidates: Sequence[str], kind: str) -> Question:
    """Return a question about the image of ``row``."""
    return Question(
        image=row["image"],
        query=query,
        text=[answer],
        candidates=list(candidates),
        type=kind,
        source_id=row["source_id"],
    )
