"""A Markdown table of a result of `eval.adaptation`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from eval.command import write_tables

TRAINED = ("LoRA", "full predictor", "from scratch")
UNTRAINED = ("zero-shot", "linear probe")
ARMS = (*UNTRAINED, *TRAINED)
TEST_SPLIT = """## How good is my own?

A run ends with validation figures, and `best`, the residual's factor and the temperatures were chosen on these very
data, so they flatter. For a figure to report, keep pictures apart that no run sees, in a file test.csv beside them with
the columns that training takes, and measure it once, after all choices, from a clone of the repository:

```bash not-run: needs your own pictures
python eval/run.py own_retrieval --model runs/lora_retrieval/best --data FOLDER  # image,text
python eval/run.py own_classes   --model runs/lora_retrieval/best --data FOLDER  # image,text: the text is the class
python eval/run.py own_questions --model runs/lora_vqa/best --data FOLDER        # image,query,text,candidates
```

It prints the figures with 95% intervals and writes them to `eval/results/`. `--model mini` beside it says what was
gained, and `--train captions.csv` counts pictures of the test that were trained on.

## Groceries
"""
LEARNED = ("accuracy", "r1")
KEPT = ("photos_r1", "emoji_r1", "questions")


def write_report(result: Path, *, tables: Path | None) -> None:
    """Write the table into a file, or print it."""
    write_tables(as_markdown(json.loads(result.read_text(encoding="utf-8"))), tables)


def as_markdown(result: dict[str, Any]) -> str:
    """Accuracy / R@1 in percent by arm and number of pictures, mean (standard deviation) over seeds."""
    shots = sorted({row["shots"] for row in result["rows"]} - {0})
    seeds = len({row["seed"] for row in result["rows"]})
    lines = [
        "# Adaptation: mini on 50 kinds of groceries\n",
        "Written by `python -m eval.adaptation report eval/results/adaptation.json --tables docs/adaptation.md`.\n",
        TEST_SPLIT,
        f"`{result['command']}`: {result['pool']} test pictures, {seeds} seed{'s' if seeds > 1 else ''}, commit "
        f"{result['commit'][:12]}, {result['date']}, {result['hardware']}. Accuracy / text-to-image R@1, percent.\n",
        "| arm | " + " | ".join(f"{few} of each kind" for few in shots) + " |",
        "|---|" + "---:|" * len(shots),
    ]
    for arm in ARMS:
        lines.append(f"| {arm} | " + " | ".join(_cells(result, arm, few, LEARNED) for few in shots) + " |")
    lines += [
        "\nWhat is left of mini's own abilities: R@1 of photos / R@1 of emoji / closed questions, percent.\n",
        *lines[4:6],
    ]
    for arm in ("zero-shot", *TRAINED):
        lines.append(f"| {arm} | " + " | ".join(_cells(result, arm, few, KEPT) for few in shots) + " |")
    lines += ["", *(f"- {name}: {text}." for name, text in result["protocol"].items())]
    lines += [f"- Taken over from an earlier run: {_origin(one)}." for one in result.get("kept", [])]
    return "\n".join(lines) + "\n"


def _origin(kept: dict[str, Any]) -> str:
    """Which arms an earlier result gave, and where and when."""
    return f"{', '.join(kept['arms'])}, of commit {kept['commit'][:12]}, {kept['date']}, {kept['hardware']}"


def _cells(result: dict[str, Any], arm: str, shots: int, keys: Sequence[str]) -> str:
    rows = [row for row in result["rows"] if row["arm"] == arm and row["shots"] in (shots, 0)]

    def spread(key: str) -> str:
        values = [100 * row[key] for row in rows]
        return f"{mean(values):.1f}" + (f" ({stdev(values):.1f})" if len(values) > 1 else "")

    return " / ".join(spread(key) for key in keys) if rows else ""
