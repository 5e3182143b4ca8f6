"""The tables and the plot of mini and its baselines."""

from __future__ import annotations

from typing import Any

from eval.core.charts import Bar, bars
from eval.core.render import DIRECTIONS, cell, table
from eval.studies.mini.rows import TITLES


def tables(result: dict[str, Any]) -> str:
    """All tables with a line on what they are, as Markdown."""
    head = (
        f"{len(result['seeds'])} seed(s) with a split each; mean and (standard deviation) over seeds in percent. What "
        '"m" and "c" are, and how the model came about: [LOG.md](LOG.md). "Residual alone" is the label prior with its '
        "trained refiner."
    )
    retrieval = [_retrieval_table(result, name) for name in ("emoji", "photos")]
    image = "![training of seed 0](mini_training.png)"
    return "\n\n".join([image, head, *retrieval, _differences(result), *_question_tables(result), _calibration(result)])


def _retrieval_table(result: dict[str, Any], name: str) -> str:
    first, rows = result["seeds"][0]["retrieval"][name], []
    for row, directions in result["pooled"]["retrieval"][name].items():
        size = first["rows"][row].get("parameters", 0)
        figures = [directions[direction][f"r{k}"] for direction in DIRECTIONS for k in (1, 5, 10)]
        rows.append([TITLES.get(row, row), f"{size / 1e6:.1f}M" if size else "0", *figures])
    header = [name, "trained", *(f"{direction} R@{k}" for direction in ("i2t", "t2i") for k in (1, 5, 10))]
    sizes = " / ".join(f"{pool['pictures']} pictures x {pool['texts']} texts" for pool in first["pools"])
    return f"**{name}**, pool {sizes}. {result['protocol'][name]}\n\n{table(header, rows, 'percent')}"


def _differences(result: dict[str, Any]) -> str:
    rows = [
        [f"{name}: model minus {TITLES[found['minus']]}, {metric}", values["pooled"], ", ".join(
            cell(one, "points") for one in values["seeds"])]
        for name, found in result["paired_bootstrap"].items() for metric, values in found.items() if metric != "minus"
    ]  # fmt: skip
    groups = result["pooled"]["classes"]
    classes = [[TITLES.get(row, row), *(groups[group][row] for group in groups)] for row in next(iter(groups.values()))]
    return "\n\n".join(
        [
            f"Paired bootstrap: {result['protocol']['bootstrap']}.",
            table(["difference, points [95%]", "pooled", "per seed"], rows, "points"),
            result["protocol"]["classes"],
            table(["80 classes, top-1", *groups], classes, "percent"),
        ]
    )


def _question_tables(result: dict[str, Any]) -> list[str]:
    columns = {"accuracy": ("model", "question_only", "majority", "chance"),
               "controls": ("model", "blank", "swapped", "question_only", "no_query")}  # fmt: skip
    found = [result["protocol"]["questions"]]
    for part, names in columns.items():
        rows = [
            [f"{source}, {kind}", cell(parts[part][kind]["rows"]["mean"], ".0f"), *(one[name] for name in names)]
            for source, parts in result["pooled"]["questions"].items()
            for kind, one in parts[part].items()
        ]
        header = [f"questions, {part}", "rows", *(name.replace("_", " ") for name in names)]
        found.append(table(header, rows, "percent"))
    return found


def _calibration(result: dict[str, Any]) -> str:
    rows = []
    for seed in result["seeds"]:
        kinds = {f"classify, emoji, {seed['emoji_calibration']['labels']} labels": seed["emoji_calibration"]}
        kinds |= {
            f"classify, 80 classes, {name}": one["calibration"] for name, one in seed["classes"]["groups"].items()
        }
        kinds |= {f"ask, {source}": one["calibration"] for source, one in seed["questions"].items()}
        rows += [
            [f"seed {seed['seed']}: {name}", one["temperature"], one["mean_confidence"], one["ece"]]
            for name, one in kinds.items()
        ]
    header = ["calibration", "temperature", "mean confidence", "ECE, points"]
    return table(header, rows, ["number", "percent", "percent"])


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
