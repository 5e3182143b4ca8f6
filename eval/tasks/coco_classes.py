"""Which of the 80 COCO classes does a photo show? Right when the first choice is among the objects present."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.core.statistics import calibrated
from eval.tasks.pools import Row
from vljepa.metrics.retrieval import TIE

_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
CLASSES: tuple[str, ...] = tuple(_NAMES.split(","))


class Photo(NamedTuple):
    """A photo and the classes in it."""

    path: Path
    image_id: str
    split: str
    objects: frozenset[str]


def read_photos(folder: Path) -> list[Photo]:
    """Photos of `photos.jsonl` that show at least one of the classes."""
    photos = []
    for line in (folder / "photos.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        unknown = set(row["objects"]) - set(CLASSES)
        assert not unknown, f"{unknown} are no COCO classes"
        if row["objects"]:
            path = (folder / row["image"]).resolve()
            photos.append(Photo(path, str(row["image_id"]), row["split"], frozenset(row["objects"])))
    return photos


def truth(photos: Sequence[Photo]) -> NDArray[np.bool_]:
    """Whether class c is in photo n, [N, 80]."""
    return np.array([[name in photo.objects for name in CLASSES] for photo in photos])


def hits_in_truth(scores_NC: NDArray[np.float32], truth_NC: NDArray[np.bool_], *, k: int) -> NDArray[np.bool_]:
    """Whether a right candidate is among the best k; a wrong one that scores as high stands before it."""
    right_N = np.where(truth_NC, scores_NC, -np.inf).max(axis=1)
    ahead_NC = ~(scores_NC < (right_N - TIE)[:, None]) & ~truth_NC
    hits: NDArray[np.bool_] = ahead_NC.sum(axis=1) < k
    return hits


def evaluate_classes(
    rows: Sequence[Row], groups: dict[str, list[Photo]], *, templates: dict[str, str], temperature: float
) -> dict[str, Any]:
    """Top-1 in ground truth of every row on every group of photos, and the calibration of the model's confidences."""
    groups_found: dict[str, Any] = {}
    for name, photos in groups.items():
        truth_NC = truth(photos)
        table: dict[str, Any] = {"photos": len(photos), "top1": {"chance": float(truth_NC.mean())}}
        for row in rows:
            texts = [templates.get(row.name, "{}").replace("{}", one) for one in CLASSES]
            scores_NC = row.images([photo.path for photo in photos]) @ row.texts(texts).T
            hits_N = hits_in_truth(scores_NC, truth_NC, k=1)
            table["top1"][row.name] = float(hits_N.mean())
            if row.name == "model":
                best_N = scores_NC.argmax(axis=1)
                # Several classes are right: a hit's label is its own choice, a miss's label is any other class.
                labels_N = np.where(hits_N, best_N, (best_N + 1) % len(CLASSES))
                table["calibration"] = calibrated(scores_NC, labels_N, temperature=temperature)
        groups_found[name] = table
    return {"groups": groups_found}
