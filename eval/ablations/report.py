"""Markdown tables and a plot of a result of `eval.ablations`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.ablations.score import COLUMNS
from eval.command import write_tables
from eval.mini.report import table

TITLES = {"emoji": "emoji R@1", "photos": "photos R@1", "questions": "closed questions"}
PANEL = {"rank": "rank", "target_rank": "rank of targets", "matched": "matched", "uniformity": "uniformity"}


def write_report(result: Path, *, tables: Path | None, plot: Path | None) -> None:
    """Write the tables into a file, or print them; draw the plot when a file is given."""
    loaded = json.loads(result.read_text(encoding="utf-8"))
    write_tables(as_markdown(loaded), tables)
    if plot is not None:
        draw(loaded, plot)


def as_markdown(result: Mapping[str, Any]) -> str:
    """All tables, and what was measured."""
    first, rows, default = result["runs"][0], result["rows"], result["default"]
    titles = list(TITLES.values())
    header = [f"row, minus {default}", *titles]
    parts = [
        "# Ablations",
        "Written by `python -m eval.ablations report eval/results/ablations.json --tables docs/ablations.md --plot "
        "docs/ablations.png`.",
        f"`{result['command']}`: {result['split']} set, commit {first['commit'][:12]}, {result['date']}, "
        f"{result['hardware']}. {len(result['runs']) // len(rows)} seeds of {first['steps']} steps of "
        f"{first['batch_size']} samples each; every row changes `{result['recipe']}` as its second column says.",
        "Percent, mean over seeds and its 95% interval (Student's t).",
        table(
            ["row", "change", *titles],
            [
                [name, _changes(row), *(_interval(row["columns"][column], sign="") for column in COLUMNS)]
                for name, row in rows.items()
            ],
        ),
        "Differences in points, seed by seed. First interval: over training seeds (t). Second: over the items of the "
        "test set (bootstrap). Bold where both leave out 0; with this many cells, some will by chance.",
        table(
            header,
            [
                [name, *(_difference(row["minus_default"][column]) for column in COLUMNS)]
                for name, row in rows.items()
                if name != default
            ],
        ),
        "Collapse panel, mean over seeds.",
        table(
            ["row", *PANEL.values()],
            [[name, *(f"{row['panel'][key]['mean']:.2f}" for key in PANEL)] for name, row in rows.items()],
        ),
        "\n".join(f"- {name}: {text}." for name, text in result["protocol"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _changes(row: Mapping[str, Any]) -> str:
    return " ".join(f"`{change}`" for change in row["changes"]) or "none"


def _interval(one: Mapping[str, float], *, sign: str = "+") -> str:
    low, high = (f"{100 * one[end]:{sign}.1f}" for end in ("low", "high"))
    return f"{100 * one['mean']:{sign}.1f} [{low}, {high}]"


def _difference(one: Mapping[str, Mapping[str, float]]) -> str:
    items = one["items"]
    text = f"{_interval(one['seeds'])} [{100 * items['low']:+.1f}, {100 * items['high']:+.1f}]"
    return f"**{text}**" if is_clear(one) else text


def is_clear(difference: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether both intervals of a difference leave out 0, on the same side."""
    lows, highs = ([difference[of][end] for of in ("seeds", "items")] for end in ("low", "high"))
    return min(lows) > 0 or max(highs) < 0


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Difference of every row to the default, with its interval over seeds; the seeds as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = {name: row["minus_default"] for name, row in result["rows"].items() if name != result["default"]}
    figure, axes = pyplot.subplots(
        1, len(COLUMNS), figsize=(12, 1.2 + 0.4 * len(rows)), sharey=True, layout="constrained"
    )
    for axis, column in zip(axes, COLUMNS, strict=True):
        for height, row in enumerate(rows.values()):
            one = row[column]["seeds"]
            colour = "tab:blue" if is_clear(row[column]) else "tab:gray"
            axis.plot([100 * one["low"], 100 * one["high"]], [height, height], color=colour)
            axis.plot([100 * one["mean"]], [height], "o", color=colour)
            axis.plot([100 * value for value in one["values"]], [height] * len(one["values"]), "k.", markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlabel(f"{TITLES[column]}, points to {result['default']}")
    axes[0].set_yticks(range(len(rows)), list(rows))
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
