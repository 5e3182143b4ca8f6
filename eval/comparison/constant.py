"""What can be had without looking at the picture: one caption for all, one ranking of the classes for all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from eval.comparison.data import Pictures, hits_in_truth
from eval.mini.coco import CLASSES, read_photos
from eval.mini.data import CAPTION_SOURCES, read_captions
from vljepa.metrics.captions import CiderD
from vljepa.processing.text import normalise_text


def constant_captions(
    data: Path, test: dict[str, Pictures], validation: dict[str, Pictures]
) -> dict[str, dict[str, Any]]:
    """By source, CIDEr-D of one training caption for all pictures: the most frequent ones, and the best on validation.

    Args:
        data: Prepared folder.
        test: What is scored.
        validation: What chooses the best caption.
    """
    trained = {source: [one.texts for one in read_captions(data, source, "train")] for source in CAPTION_SOURCES}
    everything = [normalise_text(text) for rows in trained.values() for texts in rows for text in texts]
    found: dict[str, dict[str, Any]] = {}
    for source, pictures in test.items():
        scorer, chooser = CiderD(pictures.references), CiderD(validation[source].references)
        frequent = Counter(normalise_text(text) for texts in trained[source] for text in texts)
        said = {
            "most frequent of all": Counter(everything).most_common(1)[0][0],
            "most frequent of the source": frequent.most_common(1)[0][0],
            "best on validation": max(frequent, key=lambda text: _mean(chooser, text)),
        }
        found[source] = {name: {"caption": text, "cider": _mean(scorer, text)} for name, text in said.items()}
    return found


def frequent_classes(data: Path, photos: Path, test: Pictures) -> dict[str, float]:
    """Top-1 and top-5 of the classes in the order of their frequency in the training photos.

    Args:
        data: Prepared folder.
        photos: Folder with photos.jsonl.
        test: Photos, with the COCO classes.
    """
    trained = {one.source_id for one in read_captions(data, "photos", "train")}
    seen = Counter(
        name for one in read_photos(photos) if f"coco:{one.image_id}" in trained for name in sorted(one.objects)
    )
    order = [name for name, _ in seen.most_common()]
    scores_C = np.array([-order.index(name) if name in order else -len(CLASSES) for name in CLASSES], dtype=np.float32)
    scores_NC = np.tile(scores_C, (len(test.paths), 1))
    return {f"top{k}": float(hits_in_truth(scores_NC, test.truth_NC, k=k).mean()) for k in (1, 5)}


def _mean(scorer: CiderD, text: str) -> float:
    return float(scorer.scores([text] * len(scorer)).mean())
