"""The plots of `eval/report.py`: retrieval and accuracy with intervals and chance, and SugarCrepe++ by category."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from eval.tasks.comparisons import UNTOUCHED

Bar = tuple[str, float, float, float, float | None]
"""Name, share, its interval, and chance."""


def draw(results: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, bytes]:
    """PNG files of what there is.

    Args:
        results: Of `eval/run.py`.
        names: Of the files: retrieval, accuracy, text triplets.
    """
    retrieval, accuracy, triplets = names
    drawn: dict[str, bytes] = {}
    r1 = [
        (f"{_title(one)}\n{way.replace('_', ' ')}", *_figure(figures["r1"]), one["chance"][way]["r1"])
        for one in results if one["task"] == "retrieval" for way, figures in one["metrics"].items()
    ]  # fmt: skip
    if r1:
        drawn[retrieval] = _bars(r1, "R@1, percent")
    right = [
        (_title(one), *_figure(one["metrics"]["all"]["accuracy"]), one["chance"]["all"]["accuracy"])
        for one in results if one["task"] == "questions" and "all" in one["metrics"]
    ]  # fmt: skip
    if right:
        drawn[accuracy] = _bars(right, "accuracy, percent")
    found = next((one for one in results if one["task"] == "text triplets"), None)
    if found is not None:
        drawn[triplets] = _categories(found)
    return drawn


def _title(result: dict[str, Any]) -> str:
    own = "" if result["model"]["name"] == "mini" else f", {result['model']['name']}"
    return str(result["title"]) + own


def _figure(figure: dict[str, float]) -> tuple[float, float, float]:
    return figure["mean"], figure["low"], figure["high"]


def _bars(bars: Sequence[Bar], label: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.5 * len(bars)), layout="constrained")
    axis = figure.subplots()
    for place, (name, mean, low, high, chance) in enumerate(bars):
        axis.barh(place, 100 * mean, color="tab:blue", alpha=0.7)
        axis.plot([100 * low, 100 * high], [place, place], color="black")
        if chance is not None:
            axis.plot([100 * chance] * 2, [place - 0.4, place + 0.4], color="tab:red", linewidth=2)
        axis.annotate(f"{100 * mean:.1f}", (100 * high + 1, place), va="center")
        del name
    axis.set(yticks=range(len(bars)), yticklabels=[bar[0] for bar in bars], xlim=(0, 108), xlabel=label)
    axis.invert_yaxis()
    axis.set_title("black: 95% interval, red: chance", fontsize="medium")
    return _png(figure)


def _categories(result: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    model, before = result["metrics"]["model"], result["metrics"][UNTOUCHED]
    names = [name for name in model if name not in ("rows",)]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    for offset, figures, colour, label in (
        (-0.2, before, "0.6", "Y-Encoder untouched"), (0.2, model, "tab:blue", _title(result)),
    ):  # fmt: skip
        places = [place + offset for place in range(len(names))]
        axis.bar(places, [100 * figures[name] for name in names], 0.4, color=colour, label=label)
    axis.axhline(100 / 3, color="tab:red", linewidth=1, label="chance")
    axis.set(xticks=range(len(names)), xticklabels=[name.replace("_", " ") for name in names], ylabel="right, percent")
    axis.legend()
    return _png(figure)


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()
