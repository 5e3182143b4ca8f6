"""Plots as PNG: bars with intervals, and lines with bands, of any result."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure with its interval, chance where it is known, and the values of the seeds as dots."""

    name: str
    mean: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    dots: Sequence[float] = ()
    colour: str = "tab:blue"


@dataclass(frozen=True)
class Line:
    """Values along x, with a band or with error bars."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    error: Sequence[float] | None = None
    style: str = "-"
    colour: str | None = None


def draw(make: Callable[[Any], None], *, size: tuple[float, float]) -> bytes:
    """A figure that `make` fills, as PNG."""
    from matplotlib.figure import Figure

    figure, file = Figure(figsize=size, layout="constrained"), io.BytesIO()
    make(figure)
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()


def bars(panels: Sequence[tuple[str, str, Sequence[Bar]]], *, points: bool = False) -> bytes:
    """A panel of horizontal bars in percent for each (title, label, bars); as points with intervals where asked."""

    def make(figure: Any) -> None:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, label, shown) in zip(axes, panels, strict=True):
            for place, one in enumerate(shown):
                if points:
                    axis.plot([100 * one.mean], [place], "o", color=one.colour)
                else:
                    axis.barh(place, 100 * one.mean, color=one.colour, alpha=0.7)
                    axis.annotate(f"{100 * one.mean:.1f}", (100 * (one.high or one.mean) + 1, place), va="center")
                if one.low is not None and one.high is not None:
                    axis.plot([100 * one.low, 100 * one.high], [place, place], color=one.colour if points else "black")
                if one.chance is not None:
                    axis.plot([100 * one.chance] * 2, [place - 0.4, place + 0.4], color="tab:red", linewidth=2)
                axis.plot([100 * dot for dot in one.dots], [place] * len(one.dots), "k.", markersize=4)
            axis.set(yticks=range(len(shown)), yticklabels=[one.name for one in shown], xlabel=label)
            axis.set_title(title, fontsize="medium")
            axis.axvline(0, color="black", linewidth=0.8)
            axis.invert_yaxis()

    tallest = max(len(shown) for _, _, shown in panels)
    return draw(make, size=(9 if len(panels) == 1 else 6.5 * len(panels), 1.2 + 0.5 * tallest))


def lines(rows: Sequence[Sequence[tuple[str, str, Sequence[Line]]]], *, x: str, log: str = "x") -> bytes:
    """Rows of panels (title, label, lines) over one kind of x axis; `log` names logarithmic axes: `x` or `both`."""

    def make(figure: Any) -> None:
        axes = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
        for row, shown in zip(axes, rows, strict=True):
            for axis, (title, label, several) in zip(row, shown, strict=False):
                for one in several:
                    axis.errorbar(one.x, one.y, yerr=one.error, fmt=f".{one.style}", color=one.colour, label=one.name)
                    if one.low is not None and one.high is not None:
                        axis.fill_between(one.x, one.low, one.high, color=one.colour, alpha=0.15)
                axis.set(xlabel=x, ylabel=label, title=title, xscale="log" if log else "linear",
                         yscale="log" if log == "both" else "linear")  # fmt: skip
                axis.legend(fontsize="x-small")

    return draw(make, size=(4.5 * max(map(len, rows)) + 2, 4 * len(rows)))
