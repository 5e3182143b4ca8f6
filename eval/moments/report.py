"""Markdown tables of a result of `eval.moments`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables


def write_report(result: Path, *, tables: Path | None) -> None:
    """Write the tables into a file, or print them."""
    write_tables(as_markdown(json.loads(result.read_text(encoding="utf-8"))), tables)


def as_markdown(result: dict[str, Any]) -> str:
    """All tables."""
    suite = result["suite"]
    heads = [f"{depth} at IoU {overlap}" for overlap in ("0.5", "0.7") for depth in ("R@1", "R@5")]
    rows = [(name, arm["pool"], _cells(arm)) for name, arm in result["arms"].items()]
    chance = [f"{100 * value:.1f}" for some in result["chance"].values() for value in some.values()]
    lines = [
        "# Search in time: all numbers\n",
        "Written by `python -m eval.moments report eval/results/moments.json --tables docs/moments.md`.\n",
        f"`{result['command']}`: {result['split']} set, commit {result['commit'][:12]}, {result['date']}, "
        f"{result['hardware']}.\n",
        *(f"- {name}: {text}." for name, text in result["protocol"].items()),
        f"\n{result['photos']} photos, {result['indexes']} indexes of {suite['videos']} videos of {suite['seconds']} s "
        f"with {result['shots']} shots in all, {result['queries']} queries, seeds {suite['seeds']}. Percent [95%]:\n",
        "| arm | moments | " + " | ".join(heads) + " |",
        "|---|---:|" + "---:|" * len(heads),
        *(f"| {name} | {pool} | " + " | ".join(cells) + " |" for name, pool, cells in rows),
        "| moments minus uniform |  | " + " | ".join(_cells(result["moments minus uniform"])) + " |",
        "| chance |  | " + " | ".join(chance) + " |",
        f"\nBy the Ward distance between moments (`--threshold`; the model's own is {result['threshold']:g}):\n",
        "| threshold | moments | " + " | ".join(heads) + " |",
        "|---:|---:|" + "---:|" * len(heads),
        *(
            f"| {threshold} | {some['pool']} | " + " | ".join(_cells(some)) + " |"
            for threshold, some in result["by_threshold"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{100 * one['mean']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
        for overlap in ("iou 0.5", "iou 0.7")
        for one in row[overlap].values()
    ]
