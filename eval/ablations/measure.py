"""Trains every row with every seed, scores each run once, and puts the runs together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.ablations.intervals import over_seeds
from eval.ablations.score import COLUMNS, PROTOCOL, score
from eval.ablations.suite import Suite, folder_name
from eval.mini import provenance
from eval.mini.bootstrap import paired_bootstrap
from vljepa.errors import ConfigError
from vljepa.training.checkpoint import write_whole
from vljepa.training.trainer import Trainer

Say = Callable[[str], None]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where everything is.

    Args:
        suite: The suite file.
        data: Prepared folder of recipes/mini/prepare.py.
        work: Folder for the runs.
        cache: Feature cache.
        split: `test`, or `validation` while choosing.
    """

    suite: Path
    data: Path
    work: Path
    cache: Path
    split: str = "test"


def measure(setting: Setting, *, say: Say) -> Result:
    """The whole result; runs that are complete are only read."""
    suite = Suite.read(setting.suite)
    origin = provenance.origin("eval.ablations")
    runs = [measure_run(setting, suite, row, seed, say=say) for row in suite.rows for seed in suite.seeds]
    return {
        "task": "one change of a recipe at a time: retrieval on emoji and photos, closed questions, collapse",
        **origin,
        "packages": provenance.packages(),
        "data": provenance.data_of(setting.data),
        "split": setting.split,
        "recipe": str(suite.recipe),
        "default": suite.default,
        "protocol": PROTOCOL,
        "rows": summarise(runs, default=suite.default),
        "runs": [{key: value for key, value in one.items() if key != "hits"} for one in runs],
    }


def measure_part(setting: Setting, *, rows: Sequence[str] | None, seeds: Sequence[int] | None, say: Say) -> Result:
    """Some of the runs, for a process of its own.

    Returns:
        The columns of each.

    Raises:
        ConfigError: The suite has no such row.
    """
    suite = Suite.read(setting.suite)
    for row in rows or ():
        if row not in suite.rows:
            raise ConfigError(f"there is no row {row!r}.", fix=f"use some of {', '.join(suite.rows)}.")
    done = {}
    for seed in seeds or suite.seeds:
        for row in rows or suite.rows:
            done[f"{row}, seed {seed}"] = measure_run(setting, suite, row, seed, say=say)["columns"]
    return done


def measure_run(setting: Setting, suite: Suite, row: str, seed: int, *, say: Say) -> Result:
    """Train and score one run, or read what an earlier call found of the very same trained model."""
    folder = setting.work / folder_name(row) / str(seed)
    run = suite.run(row, seed, data=setting.data, cache=setting.cache, output=folder)
    done = Trainer(run, device="cpu").fit()
    kept = folder / f"{setting.split}.json"
    model = provenance.model_of(str(done.model_folder))["sha256"]
    if kept.is_file():
        known: Result = json.loads(kept.read_text(encoding="utf-8"))
        if known["model"] == model:
            return known
    assert run.data.cache is not None
    found = {
        "row": row,
        "seed": seed,
        "changes": list(suite.rows[row]),
        "commit": provenance.origin("eval.ablations")["commit"],
        "steps": run.train.steps,
        "batch_size": run.train.batch_size,
        "model": model,
        **score(done.model_folder, data=setting.data, cache=run.data.cache, split=setting.split),
    }
    write_whole(kept, json.dumps(found, indent=1))
    columns = ", ".join(f"{name} {100 * value:.1f}" for name, value in found["columns"].items())
    say(f"{row}, seed {seed}: {columns}; rank {found['panel']['rank']:.0f}")
    return found


def summarise(runs: Sequence[Result], *, default: str) -> dict[str, Any]:
    """Per row: mean and interval over seeds of every column and panel figure, and of the difference to the default.

    A difference is taken seed by seed. It has two intervals: over training seeds (`seeds`), and over the items of the
    test set (`items`), which all seeds share.
    """
    by_row: dict[str, dict[int, Result]] = {}
    for one in runs:
        by_row.setdefault(one["row"], {})[one["seed"]] = one
    rows: dict[str, Any] = {}
    for name, seeds in by_row.items():
        rows[name] = {
            "changes": next(iter(seeds.values()))["changes"],
            "columns": {column: over_seeds([one["columns"][column] for one in seeds.values()]) for column in COLUMNS},
            "panel": {
                figure: over_seeds([one["panel"][figure] for one in seeds.values()])
                for figure in next(iter(seeds.values()))["panel"]
            },
        }
        if name != default:
            pairs = [(seeds[seed], by_row[default][seed]) for seed in seeds]
            rows[name]["minus_default"] = {
                column: {
                    "seeds": over_seeds([one["columns"][column] - other["columns"][column] for one, other in pairs]),
                    "items": paired_bootstrap(
                        [_differences(one["hits"][column], other["hits"][column]) for one, other in pairs]
                    ),
                }
                for column in COLUMNS
            }
    return rows


def _differences(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    assert ours.keys() == theirs.keys(), "the runs were measured on other items"
    return {key: value - theirs[key] for key, value in ours.items()}
