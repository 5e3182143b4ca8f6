"""The result file: seeds pooled, intervals, and everything that a number must say about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.mini import coco, questions
from eval.mini.bootstrap import RESAMPLES, paired_bootstrap
from eval.mini.retrieval_rows import DIRECTIONS, EMOJI_PROTOCOL, PHOTOS_PROTOCOL
from eval.mini.seed import RIVALS

FORMAT = 1
HEADER = ("format", "task", "split", "command", "commit", "date", "hardware", "versions", "packages", "protocol")
SECTIONS = ("seeds", "pooled", "paired_bootstrap")
SEED_KEYS = ("seed", "split", "data", "model", "train", "retrieval", "classes", "emoji_calibration", "questions")


def assemble(
    seeds: Sequence[dict[str, Any]], *, origin: dict[str, Any], packages: list[dict[str, str]]
) -> dict[str, Any]:
    """The whole result of some seeds (outputs of `evaluate_seed`)."""
    result: dict[str, Any] = {
        "format": FORMAT,
        "task": "mini: retrieval both ways, 80 classes, closed questions, calibration",
        "split": seeds[0]["split"],
        **origin,
        "packages": packages,
        "protocol": {
            "emoji": EMOJI_PROTOCOL,
            "photos": PHOTOS_PROTOCOL,
            "classes": coco.PROTOCOL,
            "questions": questions.PROTOCOL,
            "baselines": "fitted on the model's training pictures, on the mean of its visual tokens and its frozen "
            "Y-Encoder's own embeddings; few settings, chosen on validation (chosen_on_validation in every row)",
            "ties": "against the model, everywhere",
            "bootstrap": f"{RESAMPLES} resamples of items (concepts, photos), percentiles, 95%; the model minus "
            + ", ".join(f"{rival} on {name}" for name, rival in RIVALS.items()),
        },
        "seeds": [{key: seed[key] for key in SEED_KEYS} for seed in seeds],
        "pooled": {"retrieval": _pooled_retrieval(seeds), "classes": _pooled_classes(seeds)},
        "paired_bootstrap": _intervals(seeds),
    }
    result["pooled"]["questions"] = _pooled_questions(seeds)
    check(result)
    return result


def check(result: dict[str, Any]) -> None:
    """Refuse a result that does not say where its numbers come from.

    Raises:
        ValueError: Something is missing, named in the message.
    """
    lacking = [key for key in (*HEADER, *SECTIONS) if result.get(key) in (None, "", [], {})]
    for number, seed in enumerate(result.get("seeds") or []):
        lacking += [f"seeds[{number}].{key}" for key in SEED_KEYS if key not in seed]
        for name in RIVALS:
            table = seed.get("retrieval", {}).get(name, {})
            lacking += [f"seeds[{number}].retrieval.{name}.{key}" for key in ("pools", "rows") if not table.get(key)]
    if lacking:
        raise ValueError(f"the result lacks {', '.join(lacking)}")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds (0 for one seed), with the values."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "values": [float(value) for value in values]}


def _pooled_retrieval(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    pooled: dict[str, Any] = {}
    for name in RIVALS:
        tables = [seed["retrieval"][name]["rows"] for seed in seeds]
        pooled[name] = {
            row: {
                way: {
                    metric: spread([table[row]["metrics"][way][metric] for table in tables])
                    for metric in tables[0][row]["metrics"][way]
                }
                for way in DIRECTIONS
            }
            for row in tables[0]
        }
    return pooled


def _pooled_classes(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    groups = seeds[0]["classes"]["groups"]
    return {
        group: {
            row: spread([seed["classes"]["groups"][group]["top1"][row] for seed in seeds])
            for row in groups[group]["top1"]
        }
        for group in groups
    }


def _pooled_questions(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    pooled: dict[str, Any] = {}
    for source in seeds[0]["questions"]:
        tables = [seed["questions"][source] for seed in seeds if source in seed["questions"]]
        pooled[source] = {
            part: {
                kind: {
                    column: spread([table[part][kind][column] for table in tables if kind in table[part]])
                    for column in columns
                }
                for kind, columns in tables[0][part].items()
            }
            for part in ("accuracy", "controls")
        }
    return pooled


def _intervals(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    intervals: dict[str, Any] = {}
    for name, rival in RIVALS.items():
        measured = seeds[0]["differences"][name]
        intervals[name] = {"minus": rival}
        for metric in measured:
            runs = [seed["differences"][name][metric] for seed in seeds]
            intervals[name][metric] = {
                "pooled": paired_bootstrap(runs),
                "seeds": [paired_bootstrap([run]) for run in runs],
            }
    return intervals
