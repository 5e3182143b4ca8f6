"""What was prepared: counts, licences, versions, attributions, and how far guessing gets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from recipes.mini.fetch import PACKAGES
from recipes.mini.records import SPLITS, CaptionSplits, Question, QuestionSplits

LICENSES = {
    "emoji/google": ("Noto Emoji, through emoji-datasource-google", "Apache-2.0"),
    "emoji/twitter": ("Twemoji, Copyright Twitter, Inc and other contributors", "CC BY 4.0"),
    "emoji/fluent": ("Fluent Emoji, Copyright Microsoft Corporation, through @lobehub/fluent-emoji-3d", "MIT"),
    "emoji names": ("emojibase-data, Copyright Miles Johnson", "MIT"),
    "clipart": ("Open Clip Art Library 0.18, through Debian's openclipart-png", "public domain"),
    "easy_vqa": ("easy-VQA, Copyright Victor Zhou", "MIT"),
    "photo captions and text captions": ("COCO 2017 annotations, COCO Consortium", "CC BY 4.0"),
    "names of ImageNet's classes": (
        "WordNet 3.0, Copyright 2006 by Princeton University, through Debian's wordnet-base; the licence stands in "
        "vljepa/processing/imagenet_1k.tsv",
        "WordNet 3.0",
    ),
    "captions of classes": ("written by SmolLM2-135M-Instruct, Copyright Hugging Face", "Apache-2.0"),
}


def attribution(photo_rows: Sequence[str]) -> str:
    """Return the attribution page: datasets, then every photo that is trained on."""
    lines = ["# Attribution of the training data", "", "| data | what | licence |", "|---|---|---|"]
    lines += [f"| {name} | {what} | {license_} |" for name, (what, license_) in LICENSES.items()]
    lines += ["", "## Photos", "", "| COCO image id | licence | Flickr | COCO |", "|---|---|---|---|", *photo_rows, ""]
    return "\n".join(lines)


def guess_by_query(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Return, for every type, the share right of two guessers that never see an image.

    ``majority``: the commonest answer of the type in ``asked`` itself (an upper bound of any constant guess).
    ``question_only``: the commonest answer that training gives to this very query, else the type's commonest.
    ``chance``: one over the number of candidates.
    """
    by_query: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_type: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        by_query[row["query"]][row["text"][0]] += 1
        by_type[row["type"]][row["text"][0]] += 1
    result = {}
    for kind in sorted({row["type"] for row in asked}):
        rows = [row for row in asked if row["type"] == kind]
        commonest = Counter(row["text"][0] for row in rows).most_common(1)[0][1]
        right = sum(guess(row, by_query, by_type[kind]) == row["text"][0] for row in rows)
        result[kind] = {
            "questions": float(len(rows)),
            "chance": round(sum(1 / len(row["candidates"]) for row in rows) / len(rows), 4),
            "majority": round(commonest / len(rows), 4),
            "question_only": round(right / len(rows), 4),
        }
    return result


def guess(row: Question, by_query: Mapping[str, Counter[str]], fallback: Counter[str]) -> str:
    """Return the candidate that training answers most often to this query."""
    seen = by_query.get(row["query"], fallback)
    return max(row["candidates"], key=lambda answer: (seen[answer], fallback[answer], answer))


def summary(
    captions: Mapping[str, CaptionSplits],
    questions: Mapping[str, QuestionSplits],
    notes: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Return the content of ``summary.json``."""
    return {
        "split_seed": seed,
        "captions": {
            name: {
                split: {
                    "images": len(table[split]),
                    "texts": sum(len(row["text"]) for row in table[split]),
                    "concepts": len({row["concept"] for row in table[split]}),
                    "licences": dict(Counter(row["license"] for row in table[split])),
                }
                for split in SPLITS
            }
            for name, table in captions.items()
        },
        "questions": {
            name: {split: dict(sorted(Counter(row["type"] for row in table[split]).items())) for split in SPLITS}
            for name, table in questions.items()
        },
        "guessing": {
            name: {split: guess_by_query(table["train"], table[split]) for split in SPLITS}
            for name, table in questions.items()
        },
        "licences": {name: {"what": what, "licence": license_} for name, (what, license_) in LICENSES.items()},
        "packages": {item.name: {"version": item.version, "sha256": item.sha256} for item in PACKAGES.values()},
        "notes": dict(notes),
    }


def show(
    console: Console,
    captions: Mapping[str, CaptionSplits],
    questions: Mapping[str, QuestionSplits],
    overlap: Mapping[str, Any],
) -> None:
    """Print the counts and the overlap report."""
    table = Table("source", "kind", *SPLITS)
    for name, rows in captions.items():
        table.add_row(name, "captioned images", *(str(len(rows[split])) for split in SPLITS))
    for name, asked in questions.items():
        for kind in sorted({row["type"] for split in SPLITS for row in asked[split]}):
            table.add_row(
                name, f"questions: {kind}", *(str(sum(row["type"] == kind for row in asked[split])) for split in SPLITS)
            )
    console.print(table)
    for name, value in overlap["reported_only"].items():
        console.print(f"reported only: {name}: {value}")
    console.print(f"overlap between training and validation or test: {overlap['violations']} violations")
