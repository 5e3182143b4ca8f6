"""Captions by the Y-Decoder against people's: of images, or from predictions that were stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import FileEmbedder, readable
from eval.core.result import Context, Result
from eval.core.statistics import interval
from vljepa.data.records import Record
from vljepa.errors import TextSpaceError
from vljepa.inference.embed import Embedder
from vljepa.metrics import CiderD, bleu4, distinct_share, mean_length, meteor, meteor_is_there, rouge_l


def measure(context: Context) -> Result:
    """Captions of images: COCO's JSON in, `[{image_id, caption}]` out."""
    found, embedder = context.found, context.embedder
    embedder.require_words()
    rows = [row for _, row in found.table("annotations")]
    if not rows or "source_id" not in rows[0]:
        raise found.wrong("annotations", "it has no `images` and `annotations` with captions")
    files = FileEmbedder(embedder)
    paths = [found.file_name(row["image"], role="annotations") for row in rows]
    rows_ND = files.embed(paths)
    kept = [rows[place] for place in np.flatnonzero(readable(rows_ND))]
    return _result(
        embedder,
        rows_ND[readable(rows_ND)],
        [list(row["text"]) for row in kept],
        ids=[int(row["source_id"]) for row in kept],
        rows=len(rows),
        skipped=files.report(),
        examined=[Record(path, tuple(row["text"])) for path, row in zip(paths, rows, strict=True)],
    )


def stored(context: Context) -> Result:
    """Captions from embeddings that the same model predicted before: no pixels are needed.

    Raises:
        TextSpaceError: The embeddings are of another model.
    """
    found, embedder = context.found, context.embedder
    embedder.require_words()
    content = found.json("captions")
    rows_ND = np.load(found.files["rows"], allow_pickle=False).astype(np.float32)
    own = embedder.model.text_space_hash()
    if content["text_space"] != own:
        raise TextSpaceError(
            f"the stored predictions are of the text space {content['text_space']}, the model has {own}.",
            fix="measure the model that they are of, or make others with tests/assets/make_samples.py.",
        )
    photos = content["photos"]
    return _result(
        embedder,
        rows_ND,
        [photo["captions"] for photo in photos],
        ids=[int(photo["source_id"].rpartition(":")[2]) for photo in photos],
        rows=len(photos),
        examined=[Record(None, tuple(photo["captions"])) for photo in photos],
    )


def _result(
    embedder: Embedder,
    rows_ND: NDArray[np.float32],
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[int],
    **more: Any,
) -> Result:
    """Every figure of the captions of predictions, and of the same with another image's prediction or none."""
    scorer = CiderD(references)
    captions = embedder.words(rows_ND)
    metrics: dict[str, dict[str, Any]] = {"model": _figures(captions, references, scorer)}
    if meteor_is_there():
        metrics["model"]["meteor"] = meteor(captions, references)[0]
    for control, seen in (("swapped", np.roll(rows_ND, 1, axis=0)), ("zeroed", np.zeros_like(rows_ND))):
        metrics[control] = _figures(embedder.words(seen), references, scorer)
    return Result(
        metrics=metrics,
        pool=[{"pictures": len(references), "references": sum(map(len, references))}],
        prompt=embedder.model.config.prompts.caption,
        more={"predictions": [{"image_id": one, "caption": text} for one, text in zip(ids, captions, strict=True)]},
        **more,
    )


def _figures(captions: Sequence[str], references: Sequence[Sequence[str]], scorer: CiderD) -> dict[str, Any]:
    return {
        "cider_d": interval(scorer.scores(captions), [str(number) for number in range(len(captions))]),
        "bleu4": bleu4(captions, references),
        "rouge_l": rouge_l(captions, references),
        "distinct": distinct_share(captions),
        "tokens": mean_length(captions),
    }
