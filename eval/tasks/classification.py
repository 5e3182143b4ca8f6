"""Zero-shot classification of pictures or videos: a folder per class, or a table of files and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.harness.seeing import Eyes, readable, visual
from eval.harness.suite import Found
from eval.mini.bootstrap import interval
from eval.tasks.questions import listed
from vljepa.configs import CalibrationConfig
from vljepa.data.formats.walking import PICTURES
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.metrics import expected_calibration_error, mean_of_templates, mean_per_class, softmax, top_k_hits

COUNTS = (2, 10, 100)
"""Candidates of the calibration errors, besides all."""
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif"})


def measure(
    found: Found,
    embedder: Embedder,
    *,
    item: str = "image",
    label: str = "label",
    split: str = "",
    templates: Sequence[str] = (),
    frames: int = 1,
    others: Literal["", "imagenet-1k"] = "",
) -> dict[str, Any]:
    """Top-1, top-5, mean per class and calibration error; the candidates are the labels that occur.

    The calibration error is measured with 2, 10 and 100 candidates too, as far as there are: the right one and others
    drawn for each picture.

    Args:
        found: The files; `rows` is a folder with a folder per class, or a table.
        embedder: The model.
        item: Column of the picture or video.
        label: Column of the class.
        split: Value that the column `split` must have; empty takes every row.
        templates: Texts of a class, `{}` its name, whose embeddings are averaged; the model's own when empty.
        frames: Frames of a video; 1 for pictures.
        others: Candidates that no picture shows: the first names of ImageNet's classes that are not among the labels.
    """
    samples = list(_samples(found, item=item, label=label, split=split))
    if not samples:
        raise found.wrong("rows", "it has no pictures or videos")
    names = sorted({name for _, name in samples})
    shown = len(names)
    names += [] if not others else _other_names(names)
    eyes = Eyes(embedder, frames=frames)
    rows_ND = eyes.look([path for path, _ in samples])
    kept_N = readable(rows_ND)
    labels_N = np.array([names.index(name) for (_, name), there in zip(samples, kept_N, strict=True) if there])
    said = list(templates) or [embedder.model.config.prompts.classification]
    texts_CD = mean_of_templates(
        np.stack([embedder.texts([one.replace("{}", name) for name in names]) for one in said])
    )
    scores_NC = rows_ND[kept_N] @ texts_CD.T
    keys = [str(number) for number in range(len(labels_N))]
    top1_N = top_k_hits(scores_NC, labels_N)
    calibration = embedder.model.config.calibration
    temperature = calibration.temperature("classify", candidates=len(names))
    return {
        "metrics": {
            "all": {
                "top1": interval(top1_N, keys),
                "top5": interval(top_k_hits(scores_NC, labels_N, k=5), keys),
                "mean_per_class": mean_per_class(top1_N, labels_N),
                "calibration_error": expected_calibration_error(softmax(scores_NC, temperature=temperature), labels_N),
            },
            **_by_count(scores_NC, labels_N, calibration),
        },
        "chance": {"all": {"top1": 1 / len(names), "top5": min(1.0, 5 / len(names))}},
        "rows": len(samples),
        "pool": [{"items": len(labels_N), "classes": shown, "candidates": len(names)}],
        "candidates": listed(names),
        "templates": said,
        "prompt": embedder.model.config.prompts.caption,
        "frames": frames,
        "skipped": eyes.report(),
        # Names of classes are no texts: training and test share them by design.
        "examined": [Record(visual(path, frames=frames), ()) for path, _ in samples],
    }


def _by_count(
    scores_NC: NDArray[np.float32], labels_N: NDArray[np.int64], calibration: CalibrationConfig
) -> dict[str, dict[str, float]]:
    """Accuracy, confidence and calibration error with fewer candidates, drawn for each picture with a fixed seed."""
    random = np.random.default_rng(0)
    found = {}
    every = scores_NC.shape[1]
    for count in [*(one for one in COUNTS if one < every), every]:
        drawn_NC = np.empty((len(labels_N), count), dtype=np.float32)
        for place, label in enumerate(labels_N):
            wrong = np.delete(np.arange(every), label)
            drawn_NC[place] = scores_NC[place, [label, *random.permutation(wrong)[: count - 1]]]
        first_N = np.zeros(len(labels_N), dtype=np.int64)
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
    place = found.files["rows"]
    if place.is_dir():
        for folder in sorted(path for path in place.iterdir() if path.is_dir()):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in PICTURES | VIDEOS:
                    yield file, folder.name.replace("_", " ").replace("-", " ")
        return
    for number, row in found.table("rows"):
        if split and row.get("split") != split:
            continue
        name = str(found.value(row, item, "rows", number))
        yield path_under(found.media, name, where=str(place)), _first(found.value(row, label, "rows", number))


def _first(label: Any) -> str:
    """A class, or the first of its names."""
    return str(label[0] if isinstance(label, list) else label)
