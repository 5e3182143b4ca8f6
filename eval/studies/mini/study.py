"""Every number about mini and its baselines by seed: retrieval both ways, 80 classes, questions, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.core import provenance
from eval.core.cache import kept, key_of
from eval.core.charts import Bar, bars
from eval.core.console import log
from eval.core.result import Context, Result
from eval.core.statistics import calibrated, paired_bootstrap, pooled
from eval.studies.mini import questions
from eval.studies.mini.features import Features
from eval.studies.mini.inputs import Job, read_inputs
from eval.studies.mini.rows import LINEAR_PHOTOS, MLP, MODEL, TITLES, Baselines, model_rows
from eval.tasks import coco_classes, pools
from eval.tasks.pools import Hits, Pool, Row
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder

CLASS_ROWS = ("conse", "conse_ridge", MLP, LINEAR_PHOTOS, MODEL)
RIVALS = {"emoji": MLP, "photos": LINEAR_PHOTOS}


def measure(
    context: Context, *, models: Sequence[str] = (), folders: Sequence[str] = (), views: int = 1, split: str = "test"
) -> Result:
    """All seeds, pooled, with the paired differences to the strongest baselines.

    Args:
        context: The prepared folder and the photos; a seed whose data, model, settings and code are the same is not
            computed again.
        models: Saved models, one per seed; the measured one when empty.
        folders: Prepared folders in the order of the models; the suite's when empty.
        views: As for `Job`.
        split: As for `Job`.

    Raises:
        DataError: Two folders have the same split.
    """
    names, data = list(models) or [context.model.name], [Path(one) for one in folders] or [context.found.folder]
    splits = [provenance.data_of(one)["split"] for one in data]
    if len(set(splits)) < len(splits) or len(names) != len(data):
        raise DataError(
            f"{len(names)} models for the splits {splits}.",
            fix="prepare one folder per model with another --split-seed.",
        )
    photos, cache, seeds = context.found.files["photos"].parent, context.cache / "mini", []
    tsv = photos.parent / "coco_captions_val2017.tsv"
    for seed, (folder, name) in enumerate(zip(data, names, strict=True)):
        job = Job(
            seed=seed,
            data=folder,
            model=name,
            photos=photos,
            captions=tsv if tsv.is_file() else None,
            views=views,
            split=split,
            cache=cache,
        )
        key = key_of(__name__, job=vars(job), model=provenance.model_of(name), data=provenance.data_of(folder))
        path = cache / "results" / f"{provenance.text_digest(str(key))}.json"
        seeds.append(kept(path, key, lambda job=job: measure_seed(job)))  # type: ignore[misc]
    return Result(
        rows=sum(one["rows"] for one in seeds[0]["questions"].values()),
        pool=[{"seeds": len(seeds)}],
        prompt=seeds[0]["model"]["prompt"],
        more={"split": split, **pool_seeds(seeds)},
    )


def pool_seeds(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation of every figure, and the differences to the rivals with their intervals."""
    trees = [
        {
            "retrieval": {
                name: {row: one["metrics"] for row, one in seed["retrieval"][name]["rows"].items()} for name in RIVALS
            },
            "classes": {group: one["top1"] for group, one in seed["classes"]["groups"].items()},
            "questions": {
                source: {part: one[part] for part in ("accuracy", "controls")}
                for source, one in seed["questions"].items()
            },
        }
        for seed in seeds
    ]
    differences: dict[str, Any] = {}
    for name, rival in RIVALS.items():
        differences[name] = {"minus": rival}
        for metric in seeds[0]["differences"][name]:
            runs = [seed["differences"][name][metric] for seed in seeds]
            differences[name][metric] = {
                "pooled": paired_bootstrap(runs),
                "seeds": [paired_bootstrap([run]) for run in runs],
            }
    shown = [{name: part for name, part in seed.items() if name not in ("differences", "key")} for seed in seeds]
    return {"seeds": shown, "pooled": pooled(trees), "paired_bootstrap": differences}


def measure_seed(job: Job) -> dict[str, Any]:
    """Every number of one seed, with the paired differences per item that the pooled bootstrap needs."""
    features = Features(Embedder.from_pretrained(job.model, device="cpu"), cache=job.cache)
    inputs = read_inputs(job)
    log(f"seed {job.seed}: encoding what the cache lacks")
    features.fill_images(inputs.views(job))
    log("fitting the baselines")
    rows = Baselines(features, inputs, job).rows() + model_rows(features)
    config = features.model.config
    result: dict[str, Any] = {
        "seed": job.seed,
        "split": job.split,
        "data": provenance.data_of(job.data),
        "model": provenance.model_of(job.model) | {"prompt": features.caption_prompt},
        "train": {source: len(items) for source, items in inputs.train.items()} | {"views": job.views},
        "retrieval": {},
        "differences": {},
        "questions": {},
    }
    for name, measured in inputs.measured.items():
        log(f"retrieval on {name}")
        result["retrieval"][name], result["differences"][name] = _retrieval(name, measured, rows)
    result["classes"] = coco_classes.evaluate_classes(
        [row for row in rows if row.name in CLASS_ROWS],
        inputs.classes,
        templates={MODEL: config.prompts.classification[0]},
        temperature=config.calibration.temperature("classify", candidates=len(coco_classes.CLASSES)),
    )
    result["emoji_calibration"] = _emoji_calibration(features, inputs.measured["emoji"])
    for source, splits in inputs.questions.items():
        log(f"questions on {source}")
        result["questions"][source] = questions.evaluate_questions(
            features, train=splits["train"], validation=splits["validation"], rows=splits[job.split]
        )
    return result


def _retrieval(name: str, measured: list[Pool], rows: list[Row]) -> tuple[dict[str, Any], Hits]:
    found: dict[str, Any] = {"chance": {"metrics": pools.chance(measured)}}
    hits: dict[str, Hits] = {}
    for row in rows:
        if name == "photos" or not row.name.endswith("_views"):
            ranks = pools.ranks_of(row, measured)
            hits[row.name] = pools.hits_of(ranks)
            found[row.name] = {
                "metrics": pools.figures(ranks),
                "parameters": row.parameters,
                "chosen_on_validation": row.chosen,
            }
    sizes = [{"images": len(pool.paths), "texts": len(pool.texts)} for pool in measured]
    return {"pools": sizes, "rows": found}, pools.differences(hits[MODEL], hits[RIVALS[name]])


def _emoji_calibration(features: Features, measured: list[Pool]) -> dict[str, float]:
    """Calibration of `classify` with all captions of the style's pool as labels."""
    config, width = features.model.config, max(len(pool.texts) for pool in measured)
    scores, labels = [], []
    for pool in measured:
        predictions_ND = features.predictions([(path, features.caption_prompt) for path in pool.paths])
        texts = config.prompts.named(pool.texts)
        scores_NC = np.full((len(pool.paths), width), -np.inf)
        scores_NC[:, : len(texts)] = predictions_ND @ features.model_texts(texts).T
        scores.append(scores_NC)
        labels += [right[0] for right in pool.right["image_to_text"]]
    temperature = config.calibration.temperature("classify", candidates=width)
    return {"labels": width, **calibrated(np.concatenate(scores), np.array(labels), temperature=temperature)}


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """Titles of the rows."""
    del result
    return {"titles": TITLES}


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """R@1 of every row and both ways: the mean as a bar, every seed as a dot."""
    panels = []
    for name in ("emoji", "photos"):
        shown = []
        for row, directions in result["pooled"]["retrieval"][name].items():
            for direction, colour in (("image_to_text", "tab:blue"), ("text_to_image", "tab:orange")):
                one = directions[direction]["r1"]
                label = f"{TITLES.get(row, row).replace('*', '')}, {direction.replace('_', ' ')}"
                shown.append(Bar(label, one["mean"], dots=one["values"], colour=colour))
        panels.append(
            (f"{name}, {result['split']} set, {len(result['seeds'])} seed(s)", "R@1, percent (dots: seeds)", shown)
        )
    return {"mini_retrieval.png": bars(panels)}
