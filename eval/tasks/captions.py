"""Captions by the Y-Decoder against people's: of pictures, or from predictions that were stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.harness.seeing import Eyes, readable
from eval.harness.suite import Found
from eval.mini.bootstrap import interval
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.errors import TextSpaceError
from vljepa.inference.embed import Embedder
from vljepa.metrics import CiderD, bleu4, distinct_share, mean_length, meteor, meteor_is_there, rouge_l


def measure(found: Found, embedder: Embedder) -> dict[str, Any]:
    """Captions of pictures: COCO's JSON in, `[{image_id, caption}]` out."""
    embedder.require_words()
    rows = [row for _, row in found.table("annotations")]
    where = str(found.files["annotations"])
    if not rows or "source_id" not in rows[0]:
        raise found.wrong("annotations", "it has no `images` and `annotations` with captions")
    eyes = Eyes(embedder)
    paths = [path_under(found.media, str(row["image"]), where=where) for row in rows]
    rows_ND = eyes.look(paths)
    kept = np.flatnonzero(readable(rows_ND))
    references = [list(rows[place]["text"]) for place in kept]
    result = score(embedder, rows_ND[kept], references)
    said = zip(kept, result["said"], strict=True)
    result["predictions"] = [{"image_id": int(rows[place]["source_id"]), "caption": text} for place, text in said]
    examined = [Record(path, tuple(row["text"])) for path, row in zip(paths, rows, strict=True)]
    return result | {"rows": len(rows), "skipped": eyes.report(), "examined": examined}


def stored(found: Found, embedder: Embedder) -> dict[str, Any]:
    """Captions from embeddings that the same model predicted before: no pixels are needed.

    Raises:
        TextSpaceError: The embeddings are of another model.
    """
    embedder.require_words()
    content = found.json("captions")
    rows_ND = np.load(found.files["rows"], allow_pickle=False).astype(np.float32)
    own = embedder.model.text_space_hash()
    if content["text_space"] != own:
        raise TextSpaceError(
            f"the stored predictions are of the text space {content['text_space']}, the model has {own}.",
            fix="measure the model that they are of, or make others with eval/captions/sample.py.",
        )
    photos = content["photos"]
    result = score(embedder, rows_ND, [photo["captions"] for photo in photos])
    result["predictions"] = [
        {"image_id": int(photo["source_id"].rpartition(":")[2]), "caption": text}
        for photo, text in zip(photos, result["said"], strict=True)
    ]
    examined = [Record(None, tuple(photo["captions"])) for photo in photos]
    return result | {"rows": len(photos), "skipped": {"count": 0, "first": {}}, "examined": examined}


def score(embedder: Embedder, rows_ND: NDArray[np.float32], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Every figure of the captions of some predictions, and of the same with another picture's prediction or none."""
    scorer = CiderD(references)
    said = embedder.words(rows_ND)
    metrics: dict[str, dict[str, Any]] = {"model": _figures(said, references, scorer)}
    if meteor_is_there():
        metrics["model"]["meteor"] = meteor(said, references)[0]
    for control, seen in (("swapped", np.roll(rows_ND, 1, axis=0)), ("zeroed", np.zeros_like(rows_ND))):
        metrics[control] = _figures(embedder.words(seen), references, scorer)
    return {
        "metrics": metrics,
        "pool": [{"pictures": len(references), "references": sum(map(len, references))}],
        "prompt": embedder.model.config.prompts.caption,
        "frames": 1,
        "said": said,
    }


def _figures(said: Sequence[str], references: Sequence[Sequence[str]], scorer: CiderD) -> dict[str, Any]:
    return {
        "cider_d": interval(scorer.scores(said), [str(number) for number in range(len(said))]),
        "bleu4": bleu4(said, references),
        "rouge_l": rouge_l(said, references),
        "distinct": distinct_share(said),
        "tokens": mean_length(said),
    }


def predictions_text(result: dict[str, Any]) -> str:
    """What COCO's server takes."""
    return json.dumps(result["predictions"], indent=1) + "\n"
