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
from vljepa.inference.words import Words
from vljepa.metrics import CiderD, bleu4, distinct_share, mean_length, meteor, meteor_is_there, rouge_l


def measure(context: Context) -> Result:
    """Captions of images: COCO's JSON in, `[{image_id, caption}]` out."""
    found, embedder = context.found, context.embedder
    embedder.require_words()
    rows = list(found.rows("annotations"))
    if not rows or "source_id" not in rows[0].row:
        raise found.wrong("annotations", "it has no `images` and `annotations` with captions")
    files = FileEmbedder(embedder)
    paths = [row.file("image") for row in rows]
    rows_ND, classes_NK = files.answered([(path, "") for path in paths])
    kept_N = readable(rows_ND)
    kept = [rows[place] for place in np.flatnonzero(kept_N)]
    return _result(
        embedder,
        rows_ND[kept_N],
        None if classes_NK is None else classes_NK[kept_N],
        [row.texts("text") for row in kept],
        ids=[int(row["source_id"]) for row in kept],
        rows=len(rows),
        skipped=files.report(),
        examined=[Record(path, tuple(row.texts("text"))) for path, row in zip(paths, rows, strict=True)],
    )


def stored(context: Context) -> Result:
    """Captions from embeddings that the same model predicted before: no pixels are needed.

    Raises:
        TextSpaceError: The embeddings are of another model.
    """
    found, embedder = context.found, context.embedder
    embedder.require_words()
    content, own = found.json("captions"), embedder.model.text_space_hash()
    if content["text_space"] != own:
        raise TextSpaceError(
            f"the stored predictions are of the text space {content['text_space']}, the model has {own}.",
            fix="measure the model that they are of, or make others with tests/assets/make_samples.py.",
        )
    photos = content["photos"]
    return _result(
        embedder,
        np.load(found.files["rows"], allow_pickle=False).astype(np.float32),
        None,
        [photo["captions"] for photo in photos],
        ids=[int(photo["source_id"].rpartition(":")[2]) for photo in photos],
        rows=len(photos),
        examined=[Record(None, tuple(photo["captions"])) for photo in photos],
    )


def controlled(
    embedder: Embedder, rows_ND: NDArray[np.float32], classes_NK: NDArray[np.float32] | None
) -> dict[str, list[Words]]:
    """Captions of predictions; and, as controls, of another image's, and of none."""
    swapped = None if classes_NK is None else np.roll(classes_NK, 1, axis=0)
    return {
        "model": embedder.write(rows_ND, classes_NK),
        "swapped": embedder.write(np.roll(rows_ND, 1, axis=0), swapped),
        "zeroed": embedder.write(np.zeros_like(rows_ND)),
    }


def quality(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """What captions score beside CIDEr-D: BLEU-4 and ROUGE-L against the references, and how much they vary."""
    return {
        "bleu4": bleu4(captions, references),
        "rouge_l": rouge_l(captions, references),
        "distinct": distinct_share(captions),
        "tokens": mean_length(captions),
    }


def _result(
    embedder: Embedder,
    rows_ND: NDArray[np.float32],
    classes_NK: NDArray[np.float32] | None,
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[int],
    **more: Any,
) -> Result:
    """Every figure of the captions of predictions, and of the same with another image's prediction or none."""
    scorer, items = CiderD(references), [str(number) for number in range(len(references))]
    written = controlled(embedder, rows_ND, classes_NK)
    captions = {name: [one.text for one in several] for name, several in written.items()}
    metrics: dict[str, dict[str, Any]] = {
        name: {"cider_d": interval(scorer.scores(texts), items), **quality(texts, references)}
        for name, texts in captions.items()
    }
    if meteor_is_there():
        metrics["model"]["meteor"] = meteor(captions["model"], references)[0]
    predictions = [{"image_id": one, "caption": text} for one, text in zip(ids, captions["model"], strict=True)]
    return Result(
        metrics=metrics,
        pool=[{"images": len(references), "references": sum(map(len, references))}],
        more={"predictions": predictions},
        **more,
    )
