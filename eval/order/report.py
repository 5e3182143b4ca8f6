"""Markdown tables of a result of the suite `mini_order`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables

COLUMNS = ("in order", "shuffled", "one frame", "reversed", "reversed, opposite answer", "question alone")
WAYS = {
    "model": "mini-video, asked what comes next",
    "copy": "mini-video, asked what is there now (copy the present)",
    "present": "the true caption of the present",
    "last frame": "mini-video, what comes next, last frame alone",
}


def write_report(result: Path, *, tables: Path | None) -> None:
    """Write the tables into a file, or print them."""
    write_tables(as_markdown(json.loads(result.read_text(encoding="utf-8"))), tables)


def as_markdown(result: dict[str, Any]) -> str:
    """Accuracy in order and under each control, by group and type of question, and anticipation."""
    metrics = result["metrics"]
    pool = result["pool"][0]
    dirty = ", with uncommitted changes" if result["uncommitted_changes"] else ""
    lines = [
        "# Order in time: mini-video on synthetic clips\n",
        "Written by `python -m eval.order report eval/results/mini_order.mini-video.json --tables docs/order.md`.\n",
        f"`{result['command']}`: {pool['clips']} rendered test clips, {pool['questions']} questions, "
        f"{result['frames']} frames of each; commit {result['commit'][:12]}{dirty}, {result['date']}, "
        f"{result['hardware']}.\n",
        "**All of it is synthetic**: drawings that move over photos, with questions and answers from templates "
        "(`recipes/mini/clips.py`). Sprites (by concept), backgrounds and wordings of the test are in no "
        "training clip. Accuracy in percent, [95%] by bootstrap over clips; ties count against the model.\n",
        "| questions | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    for part, row in metrics.items():
        name = part.partition(": ")[2] or f"**{part}**"
        cells = [_share(row[column]) if column in row else "" for column in COLUMNS]
        lines.append(f"| {name} ({row['questions']}) | " + " | ".join(cells) + " |")
    lines += [
        "\n- *shuffled*: every clip in 5 random orders. *one frame*: each of its frames alone, in the place of all.",
        "- Of two answers, chance is 50. Of four directions it is 25, and 50 for who sees the frames as a set, which "
        "tells the axis. Clips are as likely as themselves run backwards, where the answer is the opposite one, so no "
        "set of frames tells more.",
        "- *reversed, opposite answer*: the share of the clips run backwards where the answer is the opposite one.",
        "- *question alone*: logistic regression on the question, fitted on the training questions.",
        "\n## What comes next\n",
        "The first half of a clip in which a sprite goes on, or stays, and five captions: the sprite on the left, on "
        "the right, at the top, at the bottom, in the middle.\n",
        "| | all | where it moves on |",
        "|---|---:|---:|",
    ]
    for way, row in result["anticipation"].items():
        lines.append(f"| {WAYS[way]} | {_share(row['all'])} | {_share(row['moving'])} |")
    counts = result["anticipation"]["model"]
    lines.append(f"\n{counts['all']['items']} clips, in {counts['moving']['items']} of which it moves on.")
    return "\n".join(lines) + "\n"


def _share(found: dict[str, float]) -> str:
    return f"{100 * found['mean']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
