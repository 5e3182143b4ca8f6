"""Markdown tables and a plot from a result file, for the README, the model card and the manual."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from eval.mini.result import check
from eval.mini.retrieval_rows import DIRECTIONS
from eval.mini.rows import MODEL, TITLES

WAYS = {"image_to_text": "i2t", "text_to_image": "t2i"}


def write_report(result: Path, *, tables: Path | None, plots: Path | None) -> None:
    """Print or write the tables, and draw the plot when a folder is given."""
    loaded = json.loads(result.read_text(encoding="utf-8"))
    check(loaded)
    text = markdown(loaded)
    console = Console(stderr=True)
    if tables is None:
        print(text)
    else:
        tables.write_text(text, encoding="utf-8")
        console.print(f"written: {tables}", highlight=False)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        path = plots / f"{result.stem}_retrieval.png"
        draw(loaded, path)
        console.print(f"drawn: {path}", highlight=False)


def markdown(result: dict[str, Any]) -> str:
    """All tables with a line on what they are."""
    parts = [_origin(result)]
    parts += [_retrieval(result, name) for name in ("emoji", "photos")]
    parts += [_intervals(result), _classes(result), *_questions(result), _calibration(result)]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _origin(result: dict[str, Any]) -> str:
    dirty = ", with uncommitted changes" if result["uncommitted_changes"] else ""
    return (
        f"{len(result['seeds'])} seed(s) with a split each, {result['split']} set; mean and (standard deviation) over "
        f"seeds in percent. Commit {result['commit'][:12]}{dirty}, {result['date']}, {result['hardware']}. "
        f"Ties count against the model.\n\n`{result['command']}`"
    )


def _cell(spread: dict[str, Any], *, many: bool) -> str:
    mean = f"{100 * spread['mean']:.1f}"
    return f"{mean} ({100 * spread['std']:.1f})" if many and spread["std"] > 0 else mean


def _retrieval(result: dict[str, Any], name: str) -> str:
    pooled, first = result["pooled"]["retrieval"][name], result["seeds"][0]["retrieval"][name]
    pools = " / ".join(f"{pool['pictures']} pictures x {pool['texts']} texts" for pool in first["pools"])
    rows = []
    for row, ways in pooled.items():
        size = first["rows"][row].get("parameters", 0)
        cells = [_cell(ways[way][f"r{k}"], many=True) for way in DIRECTIONS for k in (1, 5, 10)]
        rows.append([TITLES.get(row, row), f"{size / 1e6:.1f}M" if size else "0", *cells])
    header = [name, "trained", *(f"{WAYS[way]} R@{k}" for way in DIRECTIONS for k in (1, 5, 10))]
    return f"**{name}**, pool {pools}. {result['protocol'][name]}\n\n{table(header, rows)}"


def _intervals(result: dict[str, Any]) -> str:
    rows = []
    for name, metrics in result["paired_bootstrap"].items():
        for metric, values in metrics.items():
            if metric == "minus":
                continue
            each = [_interval(one) for one in values["seeds"]]
            title = TITLES[metrics["minus"]]
            rows.append([f"{name}: model minus {title}, {metric}", _interval(values["pooled"]), ", ".join(each)])
    return f"Paired bootstrap: {result['protocol']['bootstrap']}.\n\n" + table(
        ["difference, points [95%]", "pooled", "per seed"], rows
    )


def _interval(one: dict[str, float]) -> str:
    return f"{100 * one['mean']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"


def _classes(result: dict[str, Any]) -> str:
    groups = result["pooled"]["classes"]
    names = list(next(iter(groups.values())))
    rows = [[TITLES.get(row, row), *(_cell(groups[group][row], many=True) for group in groups)] for row in names]
    return f"{result['protocol']['classes']}\n\n" + table(["80 classes, top-1", *groups], rows)


def _questions(result: dict[str, Any]) -> list[str]:
    accuracy, controls = [], []
    for source, parts in result["pooled"]["questions"].items():
        for kind, columns in parts["accuracy"].items():
            name = f"{source}, {kind}"
            cells = [_cell(columns[c], many=c == "model") for c in ("model", "question_only", "majority", "chance")]
            accuracy.append([name, f"{columns['rows']['mean']:.0f}", *cells])
            left = parts["controls"][kind]
            shown = ("model", "blank", "swapped", "question_only", "no_query")
            controls.append([name, f"{left['rows']['mean']:.0f}", *(_cell(left[c], many=True) for c in shown)])
    return [
        f"{result['protocol']['questions']}\n\n"
        + table(["questions, accuracy", "rows", "model", "question only", "majority", "chance"], accuracy),
        table(["controls", "rows", "model", "blank", "swapped", "question only", "no query"], controls),
    ]


def _calibration(result: dict[str, Any]) -> str:
    rows = []
    for seed in result["seeds"]:
        emoji = seed["emoji_calibration"]
        kinds = {f"classify, emoji, {emoji['labels']} labels": emoji}
        for group, one in seed["classes"]["groups"].items():
            kinds[f"classify, 80 classes, {group}"] = one["calibration"]
        kinds |= {f"ask, {source}": one["calibration"] for source, one in seed["questions"].items()}
        for name, one in kinds.items():
            cells = [f"{one['temperature']:.3f}", f"{100 * one['mean_confidence']:.1f}", f"{100 * one['ece']:.1f}"]
            rows.append([f"seed {seed['seed']}: {name}", *cells])
    return table(["calibration", "temperature", "mean confidence", "ECE, points"], rows)


def draw(result: dict[str, Any], path: Path) -> None:
    """Points of R@1 of every row and both ways: the mean as a bar, every seed as a dot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), sharey=False, layout="constrained")
    for axis, name in zip(axes, ("emoji", "photos"), strict=True):
        pooled = result["pooled"]["retrieval"][name]
        names = list(pooled)[::-1]
        for offset, way, colour in ((0.2, "image_to_text", "tab:blue"), (-0.2, "text_to_image", "tab:orange")):
            for height, row in enumerate(names):
                one = pooled[row][way]["r1"]
                solid = 0.9 if row == MODEL else 0.45
                label = {"image_to_text": "picture to text", "text_to_image": "text to picture"}[way]
                axis.barh(height + offset, 100 * one["mean"], 0.38, color=colour, alpha=solid, label=label)
                values = [100 * value for value in one["values"]]
                axis.plot(values, [height + offset] * len(values), "k.", markersize=4)
        axis.set_yticks(range(len(names)), [TITLES.get(row, row).replace("*", "") for row in names])
        axis.set_xlabel("R@1, percent (dots: seeds)")
        axis.set_title(f"{name}, {result['split']} set, {len(result['seeds'])} seed(s)")
    handles, labels = axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
