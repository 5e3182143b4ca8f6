from __future__ import annotations

import json
from typing import Any

import pytest

from eval import registry
from eval.core.render import DIRECTIONS
from eval.core.statistics import pooled, spread
from eval.core.suite import read_suite
from eval.studies.mini.study import plots, pool_seeds


def seed_result(seed: int, *, hit: float) -> dict[str, Any]:
    metrics = {way: {"r1": hit, "r5": hit, "r10": hit, "median_rank": 1.0, "mrr": hit} for way in DIRECTIONS}
    chance = {way: {"r1": 0.1, "r5": 0.2, "r10": 0.3} for way in DIRECTIONS}
    rows = {"chance": {"metrics": chance}, "model": {"metrics": metrics, "parameters": 10, "chosen_on_validation": {}}}
    retrieval = {"pools": [{"images": 2, "texts": 2}], "rows": rows}
    differences = {f"{way}/r{k}": {"a": hit, "b": 0.0} for way in (*DIRECTIONS, "both") for k in (1, 5)}
    calibration = {"temperature": 0.05, "ece": 0.02, "mean_confidence": 0.5}
    answers = {"model": 0.9, "chance": 0.5, "majority": 0.5, "question_only": 0.6, "rows": 8}
    controls = answers | {"blank": 0.5, "swapped": 0.5, "no_query": 0.1}
    return {
        "seed": seed,
        "split": "test",
        "data": {"folder": "d", "rows_sha256": "0"},
        "model": {"name": "m", "sha256": "0", "prompt": ""},
        "train": {"emoji": 3, "views": 1},
        "retrieval": {"emoji": retrieval, "photos": retrieval},
        "differences": {"emoji": differences, "photos": differences},
        "classes": {
            "classes": ["cat"],
            "protocol": "p",
            "groups": {"84 test photos": {"photos": 84, "top1": {"model": hit}, "calibration": calibration}},
        },
        "emoji_calibration": calibration | {"labels": 2, "accuracy": hit},
        "questions": {
            "easy_vqa": {
                "rows": 8,
                "images": 4,
                "accuracy": {"all": answers},
                "controls": {"all": controls},
                "calibration": calibration,
                "candidates": {"yesno": ["yes", "no"]},
            }
        },
    }


def whole() -> dict[str, Any]:
    seeds = [seed_result(0, hit=0.2), seed_result(1, hit=0.4)]
    return {"split": "test", "protocol": read_suite("mini").protocol, **pool_seeds(seeds)}


def test_seeds_are_pooled() -> None:
    result = whole()
    one = result["pooled"]["retrieval"]["emoji"]["model"]["image_to_text"]["r1"]
    assert one["mean"] == pytest.approx(0.3)
    assert one["std"] == pytest.approx(0.02**0.5)
    assert result["pooled"]["questions"]["easy_vqa"]["controls"]["all"]["blank"]["mean"] == 0.5
    interval = result["paired_bootstrap"]["photos"]["both/r1"]
    assert result["paired_bootstrap"]["photos"]["minus"] == "linear_photos_conse_ridge"
    assert interval["pooled"]["mean"] == pytest.approx(0.15)
    assert [run["mean"] for run in interval["seeds"]] == pytest.approx([0.1, 0.2])


def test_result_is_json_and_drops_the_per_item_differences() -> None:
    result = json.loads(json.dumps(whole()))
    assert "differences" not in result["seeds"][0]


def test_one_seed_has_no_spread() -> None:
    assert spread([0.5]) == {"mean": 0.5, "std": 0.0, "values": [0.5]}


def test_a_key_that_one_seed_lacks_is_pooled_over_the_others() -> None:
    found = pooled([{"a": {"x": 1.0, "y": 2.0}}, {"a": {"x": 3.0}}])
    assert (found["a"]["x"]["mean"], found["a"]["y"]["values"]) == (2.0, [2.0])


def test_tables_name_rows_and_pools() -> None:
    text = registry.tables("mini", whole())
    assert "| **vljepa mini** | 0.0M | 30.0 (14.1) |" in text
    assert "pool 2 images x 2 texts" in text
    assert "+15.0 [" in text
    assert "| easy_vqa, all | 8 | 90.0 | 60.0 | 50.0 | 50.0 |" in text
    assert text.isascii()
    assert plots(whole())["mini_retrieval.png"].startswith(b"\x89PNG")
