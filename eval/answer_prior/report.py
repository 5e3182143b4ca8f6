"""Markdown tables of a result of `eval.answer_prior`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables


def write_report(result: Path, *, tables: Path | None) -> None:
    """Write the tables into a file, or print them."""
    write_tables(as_markdown(json.loads(result.read_text(encoding="utf-8"))), tables)


def as_markdown(result: dict[str, Any]) -> str:
    """Accuracy by arm with its interval, by question type, and the differences that were asked for."""
    seeds = len(result["seeds"])
    lines = [
        f"# Questions with skewed answers: {', '.join(result['sets'])}\n",
        "Written by `python -m eval.answer_prior report eval/results/answer_prior_SET.json`.\n",
        f"`{result['command']}`: {seeds} seed{'s' if seeds > 1 else ''}, commit {result['commit'][:12]}, "
        f"{result['date']}, {result['hardware']}. Accuracy in percent.",
    ]
    for name, found in result["sets"].items():
        sizes, kinds = found["sizes"], list(found["by_type"])
        lines += [
            f"\n## {name}\n",
            f"{sizes['train']:,} training, {sizes['validation']:,} validation and {sizes['test']:,} test questions "
            f"about {sizes['train photos']}, {sizes['validation photos']} and {sizes['test photos']} photos; "
            f"{sizes['answers']} answers{_of_folds(found)}.\n",
            f"| arm | all | {' | '.join(kinds)} |",
            "|---|---:|" + "---:|" * len(kinds),
        ]
        for arm, one in found["accuracy"].items():
            types = " | ".join(f"{100 * found['by_type'][kind][arm]:.1f}" for kind in kinds)
            lines.append(f"| {arm} | {_percent(one)} | {types} |")
        lines += ["\n| difference | points |", "|---|---:|"]
        lines += [f"| {what} | {_percent(one, signed=True)} |" for what, one in found["differences"].items()]
    lines += ["", *(f"- {name}: {text}." for name, text in result["protocol"].items())]
    return "\n".join(lines) + "\n"


def _of_folds(found: dict[str, Any]) -> str:
    tested = found.get("tested", {})
    more = tested and tested["questions"] > found["sizes"]["test"]
    return f"; over all folds {tested['questions']:,} questions about {tested['photos']} photos" if more else ""


def _percent(one: dict[str, float], *, signed: bool = False) -> str:
    mean, low, high = (100 * one[key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" if signed else f"{mean:.1f} [{low:.1f}, {high:.1f}]"
