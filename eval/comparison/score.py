"""Measures a learner on held-out pictures: captions, classification and retrieval, item by item.

Shapes: N pictures, C candidates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.comparison.data import Pictures, hits_in_truth
from eval.comparison.learners import Learner
from vljepa.metrics.captions import CiderD, distinct_share, mean_length

CHOICE = ("emoji/top5", "emoji/to_image", "photos/to_image")
"""What chooses the learning rate: their mean, on validation. Not the photos' classes: frequency alone scores there."""


def measure(learner: Learner, sources: dict[str, Pictures]) -> dict[str, dict[str, Any]]:
    """By source, every metric's value per picture, as lists; captions with their texts.

    `top1` and `top5`: a right class is among the best; `to_text`: the picture's own text is the best of all;
    `to_image`: the text's own picture is the best of all; `cider/NAME`: CIDEr-D of the caption that NAME wrote. Ties
    count against the learner.
    """
    return {name: _measure(learner, pictures) for name, pictures in sources.items()}


def means(measured: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Mean of every metric, by `SOURCE/METRIC`."""
    return {
        f"{source}/{name}": float(np.mean(values))
        for source, metrics in measured.items()
        for name, values in metrics.items()
        if not name.startswith("said/")
    }


def choice_of(mean: dict[str, float]) -> float:
    """The one number that chooses the learning rate."""
    return float(np.mean([mean[name] for name in CHOICE]))


def _measure(learner: Learner, pictures: Pictures) -> dict[str, Any]:
    classes_NC = learner.scores(pictures.paths, pictures.classes)
    same = pictures.texts == pictures.classes
    texts_NN = classes_NC if same else learner.scores(pictures.paths, pictures.texts)
    own_NN = np.eye(len(pictures.paths), dtype=bool)
    found: dict[str, Any] = {
        "top1": hits_in_truth(classes_NC, pictures.truth_NC, k=1),
        "top5": hits_in_truth(classes_NC, pictures.truth_NC, k=5),
        "to_text": hits_in_truth(texts_NN, own_NN, k=1),
        "to_image": hits_in_truth(texts_NN.T, own_NN, k=1),
    }
    scorer = CiderD(pictures.references)
    for name, said in learner.captions(pictures.paths).items():
        found[f"cider/{name}"] = scorer.scores(said)
        found[f"said/{name}"] = said
    return {
        name: values if name.startswith("said/") else np.asarray(values, dtype=float).round(6).tolist()
        for name, values in found.items()
    }


def caption_statistics(said: list[str]) -> dict[str, float]:
    """Share of different captions, and their mean length."""
    return {"distinct": distinct_share(said), "length": mean_length(said)}
