"""One seed: its split's data, its model, the baselines fitted on the same data, and every number about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.mini import coco, provenance
from eval.mini.data import (
    CAPTION_SOURCES,
    QUESTION_SOURCES,
    Captioned,
    captions_by_picture,
    read_captions,
    read_questions,
)
from eval.mini.frozen import Frozen
from eval.mini.questions import evaluate_questions
from eval.mini.retrieval_rows import Hits, Pool, Row, chance, differences, emoji_pools, measure, photo_pools
from eval.mini.rows import LINEAR_PHOTOS, MLP, MODEL, PHOTO_VIEWS, Baselines, Fit, model_rows
from vljepa.data.records import Record
from vljepa.metrics.classification import expected_calibration_error, softmax
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.processing.processor import VLJEPAProcessor

CLASS_ROWS = ("conse", "conse_ridge", MLP, LINEAR_PHOTOS, MODEL)
RIVALS = {"emoji": MLP, "photos": LINEAR_PHOTOS}
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one seed is evaluated on.

    Args:
        seed: Number of the split, and seed of the baselines.
        data: Prepared folder.
        model: Saved model.
        photos: Folder with `photos.jsonl`.
        captions_tsv: `image_id<TAB>caption` lines for the ridge.
        sources: Captioned training sources of the baselines; must be those of the model.
        views: Stored views of each training picture that the baselines see.
        split: `test`, or `validation` while developing.
        cache: Feature cache; a training's own may be used.
    """

    seed: int
    data: Path
    model: str
    photos: Path
    captions_tsv: Path | None
    sources: tuple[str, ...] = CAPTION_SOURCES
    views: int = 1
    split: str = "test"
    cache: Path


@dataclass
class Inputs:
    """What is read from the prepared folder."""

    train: dict[str, list[Captioned]]
    validation: dict[str, list[Pool]]
    measured: dict[str, list[Pool]]
    questions: dict[str, dict[str, list[Record]]]
    classes: dict[str, list[coco.Photo]]
    groups: list[list[str]]


def evaluate_seed(job: Job, *, say: Say) -> dict[str, Any]:
    """Every number of one seed, with the paired differences per item that the pooled bootstrap needs."""
    frozen = Frozen(VLJEPA.from_pretrained(job.model), VLJEPAProcessor.from_pretrained(job.model), cache=job.cache)
    inputs = read_inputs(job)
    say("encoding what the cache lacks")
    _fill(frozen, inputs, job)
    say("fitting the baselines")
    fit = Fit(inputs.train, inputs.validation["emoji"], inputs.validation["photos"], inputs.groups, job.views)
    rows = Baselines(frozen, fit, seed=job.seed, say=say).rows() + model_rows(frozen)
    result: dict[str, Any] = {
        "seed": job.seed,
        "split": job.split,
        "data": provenance.data_of(job.data),
        "model": provenance.model_of(job.model) | {"prompt": frozen.caption_prompt},
        "train": {source: len(items) for source, items in inputs.train.items()} | {"views": job.views},
        "retrieval": {},
        "differences": {},
    }
    for name, pools in inputs.measured.items():
        say(f"retrieval on {name}")
        result["retrieval"][name], result["differences"][name] = _retrieval(name, pools, rows)
    say("80 classes")
    calibration = frozen.model.config.calibration
    result["classes"] = coco.evaluate_classes(
        [row for row in rows if row.name in CLASS_ROWS],
        inputs.classes,
        templates={MODEL: frozen.model.config.prompts.classification},
        temperature=calibration.temperature("classify", candidates=len(coco.CLASSES)),
    )
    result["emoji_calibration"] = _emoji_calibration(frozen, inputs.measured["emoji"])
    result["questions"] = {}
    for source, splits in inputs.questions.items():
        say(f"questions on {source}")
        result["questions"][source] = evaluate_questions(
            frozen, train=splits["train"], validation=splits["validation"], rows=splits[job.split]
        )
    return result


def read_inputs(job: Job) -> Inputs:
    """Read everything that one seed needs; nothing is encoded."""
    splits = ("train", "validation", job.split)
    captioned = {source: {split: read_captions(job.data, source, split) for split in splits} for source in job.sources}
    for name in ("emoji", "photos"):
        captioned.setdefault(name, {split: read_captions(job.data, name, split) for split in splits})

    def pools(split: str) -> dict[str, list[Pool]]:
        return {"emoji": emoji_pools(captioned["emoji"][split]), "photos": photo_pools(captioned["photos"][split])}

    questions = {
        source: {split: read_questions(job.data, source, split) for split in splits} for source in QUESTION_SOURCES
    }
    photos = coco.read_photos(job.photos)
    ids = {item.source_id.removeprefix("coco:") for item in captioned["photos"][job.split]}
    measured = [photo for photo in photos if photo.image_id in ids]
    classes = {f"{len(measured)} {job.split} photos": measured}
    if job.split == "test":
        trained = {item.source_id.removeprefix("coco:") for item in captioned["photos"]["train"]}
        val2017 = [photo for photo in photos if photo.split == "val2017"]
        seen = sum(photo.image_id in trained for photo in val2017)
        classes[f"{len(val2017)} val2017 photos ({seen} of them in training)"] = val2017
    return Inputs(
        train={source: captioned[source]["train"] for source in job.sources if captioned[source]["train"]},
        validation=pools("validation"),
        measured=pools(job.split),
        questions={source: rows for source, rows in questions.items() if rows["train"] and rows[job.split]},
        classes=classes,
        groups=captions_by_picture(job.data, job.captions_tsv),
    )


def _fill(frozen: Frozen, inputs: Inputs, job: Job) -> None:
    wanted: dict[Path, int] = {}

    def want(paths: list[Path], count: int) -> None:
        wanted.update({path: max(count, wanted.get(path, 0)) for path in paths})

    for source, items in inputs.train.items():
        want([item.path for item in items], max(job.views, PHOTO_VIEWS) if source == "photos" else job.views)
    for pools in (inputs.validation, inputs.measured):
        for name, several in pools.items():
            for pool in several:
                want(pool.paths, PHOTO_VIEWS if name == "photos" and pools is inputs.measured else 1)
    for photos in inputs.classes.values():
        want([photo.path for photo in photos], 1)
    for splits in inputs.questions.values():
        want([record.image for record in splits[job.split] if record.image is not None], 1)
    frozen.fill_pictures(wanted)


def _retrieval(name: str, pools: list[Pool], rows: list[Row]) -> tuple[dict[str, Any], Hits]:
    table: dict[str, Any] = {"chance": {"metrics": chance(pools)}}
    hits: dict[str, Hits] = {}
    for row in rows:
        if row.name.endswith("_views") and name != "photos":
            continue
        metrics, hits[row.name] = measure(row, pools)
        table[row.name] = {"metrics": metrics, "parameters": row.parameters, "chosen_on_validation": row.chosen}
    pool_size = [{"pictures": len(pool.paths), "texts": len(pool.texts)} for pool in pools]
    return {"pools": pool_size, "rows": table}, differences(hits[MODEL], hits[RIVALS[name]])


def _emoji_calibration(frozen: Frozen, pools: list[Pool]) -> dict[str, float]:
    """Expected calibration error of `classify` with all captions of the style's pool as labels."""
    template = frozen.model.config.prompts.classification
    width = max(len(pool.texts) for pool in pools)
    temperature = frozen.model.config.calibration.temperature("classify", candidates=width)
    probabilities, labels = [], []
    for pool in pools:
        predictions_ND = frozen.predictions([(path, frozen.caption_prompt) for path in pool.paths])
        scores_NC = np.full((len(pool.paths), width), -np.inf)
        scores_NC[:, : len(pool.texts)] = (
            predictions_ND @ frozen.model_texts([template.replace("{}", text) for text in pool.texts]).T
        )
        probabilities.append(softmax(scores_NC, temperature=temperature))
        labels.append(np.array([texts[0] for texts in pool.texts_of_image]))
    probabilities_NC, labels_N = np.concatenate(probabilities), np.concatenate(labels)
    return {
        "temperature": temperature,
        "labels": width,
        "ece": expected_calibration_error(probabilities_NC, labels_N),
        "mean_confidence": float(probabilities_NC.max(axis=1).mean()),
        "accuracy": float((probabilities_NC.argmax(axis=1) == labels_N).mean()),
    }
