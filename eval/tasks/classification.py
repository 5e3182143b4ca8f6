"""Zero-shot classification of images or videos: a folder per class, or a table of files and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import FileEmbedder, readable, visual
from eval.core.result import Context, Result
from eval.core.statistics import interval
from eval.core.suite import Found
from eval.tasks.questions import listed
from vljepa.configs import CalibrationConfig
from vljepa.data.formats.walking import PICTURES
from vljepa.data.records import Record
from vljepa.metrics import expected_calibration_error, mean_of_templates, mean_per_class, softmax, top_k_hits

COUNTS = (2, 10, 100)
"""Candidates of the calibration errors, besides all."""
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif"})


def measure(
    context: Context,
    *,
    item: str = "image",
    label: str = "label",
    split: str = "",
    templates: Sequence[str] = (),
    frames: int = 1,
    others: Literal["", "imagenet-1k"] = "",
) -> Result:
    """Top-1, top-5, mean per class and calibration error; the candidates are the labels that occur.

    The calibration error is measured with 2, 10 and 100 candidates too, as far as there are: the right one and others
    drawn for each image.

    Args:
        context: The files; `rows` is a folder with a folder per class, or a table.
        item: Column of the image or video.
        label: Column of the class.
        split: Value that the column `split` must have; empty takes every row.
        templates: Texts of a class, `{}` its name, whose embeddings are averaged; the model's own when empty.
        frames: Frames of a video; 1 for images.
        others: Candidates that no image shows: the first names of ImageNet's classes that are not among the labels.
    """
    found, embedder = context.found, context.embedder
    samples = list(_samples(found, item=item, label=label, split=split))
    if not samples:
        raise found.wrong("rows", "it has no images or videos")
    names = sorted({name for _, name in samples})
    shown = len(names)
    names += [] if not others else _other_names(names)
    files = FileEmbedder(embedder, frames=frames)
    rows_ND = files.embed([path for path, _ in samples])
    kept_N = readable(rows_ND)
    labels_N = np.array([names.index(name) for (_, name), there in zip(samples, kept_N, strict=True) if there])
    used = list(templates) or [embedder.model.config.prompts.classification]
    texts_CD = mean_of_templates(
        np.stack([embedder.texts([one.replace("{}", name) for name in names]) for one in used])
    )
    scores_NC = rows_ND[kept_N] @ texts_CD.T
    return Result(
        metrics=_figures(scores_NC, labels_N, embedder.model.config.calibration),
        chance={"all": {"top1": 1 / len(names), "top5": min(1.0, 5 / len(names))}},
        rows=len(samples),
        pool=[{"items": len(labels_N), "classes": shown, "candidates": len(names)}],
        candidates=listed(names),
        frames=frames,
        skipped=files.report(),
        # Names of classes are no texts: training and test share them by design.
        examined=[Record(visual(path, frames=frames), ()) for path, _ in samples],
        more={"templates": used},
    )


def _figures(
    scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], calibration: CalibrationConfig
) -> dict[str, dict[str, Any]]:
    """Accuracy with all candidates, and with fewer, drawn for each image with a fixed seed."""
    every, keys = scores_NC.shape[1], [str(number) for number in range(len(labels_N))]
    top1_N = top_k_hits(scores_NC, labels_N)
    temperature = calibration.temperature("classify", candidates=every)
    found: dict[str, dict[str, Any]] = {
        "all": {
            "top1": interval(top1_N, keys),
            "top5": interval(top_k_hits(scores_NC, labels_N, k=5), keys),
            "mean_per_class": mean_per_class(top1_N, labels_N),
            "calibration_error": expected_calibration_error(softmax(scores_NC, temperature=temperature), labels_N),
        }
    }
    random = np.random.default_rng(0)
    first_N = np.zeros(len(labels_N), dtype=np.int64)
    for count in [*(one for one in COUNTS if one < every), every]:
        drawn_NC = np.empty((len(labels_N), count), dtype=np.float32)
        for place, label in enumerate(labels_N):
            wrong = np.delete(np.arange(every), label)
            drawn_NC[place] = scores_NC[place, [label, *random.permutation(wrong)[: count - 1]]]
        temperature = calibration.temperature("classify", candidates=count)
        probabilities_NC = softmax(drawn_NC, temperature=temperature)
        found[f"{count:,} candidates"] = {
            "accuracy": float(top_k_hits(drawn_NC, first_N).mean()),
            "mean_confidence": float(probabilities_NC.max(axis=1).mean()),
            "calibration_error": expected_calibration_error(probabilities_NC, first_N),
        }
    return found


def _other_names(names: Sequence[str]) -> list[str]:
    """A name for each class of ImageNet that has none among `names`, and whose names are not taken."""
    from vljepa.configs import LabelPriorConfig
    from vljepa.methods.vision_language.label_prior import label_names

    known = set(names)
    found: dict[str, None] = {}
    for synonyms in label_names(LabelPriorConfig(label_names="imagenet-1k")):
        several = [one.strip() for one in synonyms.split(",")]
        name = next((one for one in several if one not in known and one not in found), None)
        if name is not None and several[0] not in known:
            found[name] = None
    return list(found)


def _samples(found: Found, *, item: str, label: str, split: str) -> Iterator[tuple[Path, str]]:
    """Files and the first name of the class of each."""
    place = found.files["rows"]
    if place.is_dir():
        for folder in sorted(path for path in place.iterdir() if path.is_dir()):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in PICTURES | VIDEOS:
                    yield file, folder.name.replace("_", " ").replace("-", " ")
        return
    for row in found.rows("rows"):
        if not split or row.row.get("split") == split:
            yield row.file(item), row.texts(label)[0]
