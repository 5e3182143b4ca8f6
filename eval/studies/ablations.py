"""Ablations: what one change of a recipe does to retrieval, questions and the spread of the embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.core import provenance
from eval.core.cache import kept, key_of
from eval.core.charts import Bar, bars
from eval.core.console import log
from eval.core.embedding import EncodedImages
from eval.core.prepared import read_captions, read_questions
from eval.core.render import DIRECTIONS, cell
from eval.core.result import Context, Result
from eval.core.statistics import over_seeds, paired_bootstrap
from eval.tasks.pools import Row, differences, figures, hits_of, ranks_of, source_pools
from vljepa.configs import RunConfig, load_run_config
from vljepa.data.records import Record
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.metrics import effective_rank, matched_minus_shuffled, top_k_hits, uniformity
from vljepa.training.trainer import Trainer
from vljepa.validation.tasks import VqaTask

COLUMNS = {"emoji": "emoji R@1", "photos": "photos R@1", "questions": "closed questions"}
QUESTION_SOURCES = ("easy_vqa", "emoji", "photos")
QUESTIONS = 700
Rows = Mapping[str, Sequence[str]]
Found = dict[str, Any]


class TestSet:
    """What every run is scored on; the X-Encoder, which all runs share, encodes its images once."""

    def __init__(self, data: Path, split: str) -> None:
        self.captioned = {name: read_captions(data, name, split) for name in ("emoji", "photos")}
        records: list[Record] = []
        for source in QUESTION_SOURCES:
            rows = read_questions(data, source, split)
            records += rows[:: max(1, len(rows) // QUESTIONS)][:QUESTIONS]
        self.questions = VqaTask("questions", records)
        self._encoded: dict[str, EncodedImages] = {}

    def encoded(self, embedder: Embedder) -> EncodedImages:
        """The images as this model's X-Encoder sees them."""
        fingerprint = embedder.model.x_encoder_fingerprint()
        if fingerprint not in self._encoded:
            files = [item.path for several in self.captioned.values() for item in several]
            files += [image for image, _ in self.questions.pairs() if isinstance(image, Path)]
            self._encoded[fingerprint] = EncodedImages(embedder, files)
        return self._encoded[fingerprint]


def measure(
    context: Context,
    *,
    recipe: str,
    seeds: Sequence[int],
    default: str,
    rows: Rows,
    only: Sequence[str] = (),
    split: str = "test",
) -> Result:
    """Train every row with every seed, score each run once, and put the runs together.

    Args:
        context: The prepared folder; what is complete in the work folder is not run again.
        recipe: The recipe that all rows change.
        seeds: Of each row; equal seeds mean equal data order, so that rows are compared pair by pair.
        default: Row that the others are compared with.
        rows: Overrides of the recipe, by the row's name.
        only: Do these rows alone, in a process of its own beside others: their figures are not compared.
        split: `test`, or `validation` while choosing.
    """
    check(seeds, default, rows, only)
    data = context.found.folder
    test, runs = TestSet(data, split), list[Found]()
    for row in only or rows:
        for seed in seeds:
            folder = context.work / "ablations" / folder_name(row) / str(seed)
            run = run_config(recipe, rows[row], seed, data=data, cache=context.cache / "ablations", output=folder)
            model = str(Trainer(run, device="cpu").fit().model_folder)
            key = key_of(__name__, model=provenance.model_of(model)["sha256"], data=provenance.data_digest(data))
            found = kept(folder / f"{split}.json", key, partial(score, model, test))
            about = {"row": row, "seed": seed, "changes": list(rows[row]), "model": key["model"]}
            runs.append(about | {"steps": run.train.steps, "batch_size": run.train.batch_size} | found)
            shares = ", ".join(f"{name} {cell(one, 'percent')}" for name, one in found["columns"].items())
            log(f"{row}, seed {seed}: {shares}")
    return Result(
        metrics={f"{run['row']}, seed {run['seed']}": run["columns"] for run in runs} if only else {},
        rows=len(test.questions.records),
        pool=[{"images": sum(map(len, test.captioned.values())), "questions": len(test.questions.records)}],
        prompt="the caption prompt, or the question",
        more={
            "split": split,
            "recipe": recipe,
            "default": default,
            "runs": [{name: value for name, value in run.items() if name not in ("hits", "key")} for run in runs],
        }
        | ({} if only else {"rows": summarise(runs, default=default)}),
    )


def check(seeds: Sequence[int], default: str, rows: Rows, only: Sequence[str] = ()) -> None:
    """Refuse what cannot be compared.

    Raises:
        ConfigError: No such row, one seed, or two rows that would share a folder.
    """
    for row in (default, *only):
        if row not in rows:
            raise ConfigError(f"there is no row {row!r}.", fix=f"use some of {', '.join(rows)}.")
    if len(seeds) < 2 and not only:
        raise ConfigError(f"seeds = {list(seeds)!r} give no interval.", fix="name two at least.")
    if len({folder_name(name) for name in rows}) < len(rows):
        raise ConfigError(f"two of the rows {', '.join(rows)} have one name.", fix="names differ in letters or digits.")


def run_config(recipe: str, changes: Sequence[str], seed: int, *, data: Path, cache: Path, output: Path) -> RunConfig:
    """The recipe of one run."""
    places = [f"data.root={data}", f"data.cache.folder={cache}", f"train.output={output}", f"train.seed={seed}"]
    return load_run_config(recipe, [*changes, *places])


def folder_name(row: str) -> str:
    """Name of a row's folder.

    Example:
        >>> folder_name("Y-Encoder at 0.05")
        'y_encoder_at_0_05'
    """
    return re.sub(r"[^a-z0-9]+", "_", row.lower()).strip("_")


def score(model: str, test: TestSet) -> Found:
    """All numbers of a saved model.

    Returns:
        `columns` (shares, by `COLUMNS`), `hits` (column -> item -> share, whose mean over the items is the column's or
        near it) and `panel`: is the space used, and do predictions belong to their own texts?
    """
    embedder = Embedder.from_pretrained(model, device="cpu")
    encoded, task = test.encoded(embedder), test.questions
    items = [item for several in test.captioned.values() for item in several]
    predictions_ND = encoded.ask([(item.path, "") for item in items], embedder=embedder)
    predicted = {item.path: row for item, row in zip(items, predictions_ND, strict=True)}
    row = Row("model", lambda paths: np.stack([predicted[path] for path in paths]), embedder.texts)
    columns, hits = {}, {}
    for name, several in test.captioned.items():
        ranks = ranks_of(row, source_pools(name, several))
        columns[name] = float(np.mean([figures(ranks)[direction]["r1"] for direction in DIRECTIONS]))
        hits[name] = hits_of(ranks)["both/r1"]
    right_N = top_k_hits(
        task.scores(encoded.ask(task.pairs(), embedder=embedder), embedder.texts(task.texts())), task.labels_N
    )
    columns["questions"] = float(right_N.mean())
    hits["questions"] = {str(place): float(right) for place, right in enumerate(right_N)}
    targets_ND = embedder.texts([item.texts[0] for item in items])
    panel = {
        "rank": effective_rank(predictions_ND),
        "target_rank": effective_rank(targets_ND),
        "matched": matched_minus_shuffled(predictions_ND, targets_ND),
        "uniformity": uniformity(predictions_ND),
    }
    return {"columns": columns, "hits": hits, "panel": panel}


def summarise(runs: Sequence[Found], *, default: str) -> dict[str, Any]:
    """Per row: mean and interval over seeds of every column and panel figure, and of the difference to the default.

    A difference is taken seed by seed. It has two intervals: over training seeds (`seeds`), and over the items of the
    test set (`items`), which all seeds share.
    """
    by_row: dict[str, dict[int, Found]] = {}
    for one in runs:
        by_row.setdefault(one["row"], {})[one["seed"]] = one
    rows: dict[str, Any] = {}
    for name, seeds in by_row.items():
        own = list(seeds.values())
        rows[name] = {
            "changes": own[0]["changes"],
            "columns": {column: over_seeds([one["columns"][column] for one in own]) for column in COLUMNS},
            "panel": {figure: over_seeds([one["panel"][figure] for one in own]) for figure in own[0]["panel"]},
        }
        if name != default:
            pairs = [(seeds[seed], by_row[default][seed]) for seed in seeds]
            apart = [differences(one["hits"], other["hits"]) for one, other in pairs]
            rows[name]["minus_default"] = {
                column: {
                    "seeds": over_seeds([one["columns"][column] - other["columns"][column] for one, other in pairs]),
                    "items": paired_bootstrap([one[column] for one in apart]),
                }
                for column in COLUMNS
            }
    return rows


def is_clear(difference: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether both intervals of a difference leave out 0, on the same side."""
    lows, highs = ([difference[of][end] for of in ("seeds", "items")] for end in ("low", "high"))
    return min(lows) > 0 or max(highs) < 0


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """The page's columns, and how it tells which differences to print in bold."""
    del result
    return {"is_clear": is_clear, "titles": COLUMNS}


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """Difference of every row to the default, with its interval over seeds; the seeds as dots."""
    panels = []
    for column, title in COLUMNS.items():
        shown = []
        for name, row in result["rows"].items():
            if name != result["default"]:
                one = row["minus_default"][column]
                colour, seeds = "tab:blue" if is_clear(one) else "tab:gray", one["seeds"]
                shown.append(Bar(name, seeds["mean"], seeds["low"], seeds["high"], dots=seeds["values"], colour=colour))
        panels.append(("", f"{title}, points to {result['default']}", shown))
    return {"ablations.png": bars(panels, points=True)}
