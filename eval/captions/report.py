"""Markdown tables of a result of `eval.captions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables

COLUMNS = ("CIDEr-D", "minus consensus [95%]", "BLEU-4", "ROUGE-L", "distinct", "tokens")


def write_report(result: Path, *, tables: Path | None) -> None:
    """Write the tables into a file, or print them."""
    write_tables(as_markdown(json.loads(result.read_text(encoding="utf-8"))), tables)


def as_markdown(result: dict[str, Any]) -> str:
    """All tables."""
    parts = [
        "# Words: all numbers\n",
        "Written by `python -m eval.captions report eval/results/captions.json --tables docs/captions.md`.\n",
        f"`{result['command']}`: {result['split']} set, commit {result['commit'][:12]}, {result['date']}, "
        f"{result['hardware']}.\n",
    ]
    for source, table in result["pictures"].items():
        parts.append(f"## {source}: {table['pool']} pictures\n\n{_sentence(result['protocol'][source])}\n")
        parts.append(_table(table["rows"]))
    parts.append(f"## Round trip\n\n{_sentence(result['protocol']['round trip'])}\n")
    parts.append(
        "| decoder | texts | cosine | swapped | zeroed | BLEU-4 | exact |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for name, row in result["round_trip"].items():
        cells = [row["cosine"], row["cosine_swapped"], row["cosine_zeroed"], row["bleu4"], row["exact_match"]]
        parts.append(f"| {name} | {row['texts']} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    parts.append(f"\n## Open answers\n\n{_sentence(result['protocol']['answers'])}\n")
    parts.append("| decoder | source | type | questions | words | choices |\n|---|---|---|---:|---:|---:|")
    for name, sources in result["answers"].items():
        for source, kinds in sources.items():
            for kind, row in kinds.items():
                shares = f"{row['words']:.3f} | {row['choices']:.3f}"
                parts.append(f"| {name} | {source} | {kind} | {row['questions']} | {shares} |")
    parts.append(f"\n## Latency\n\n{_sentence(result['protocol']['latency'])}\n")
    parts.append("| decoder | chosen beams, ms | greedy, ms |\n|---|---:|---:|")
    parts += [f"| {name} | {row['chosen']:.0f} | {row['greedy']:.0f} |" for name, row in result["latency_ms"].items()]
    return "\n".join(parts) + "\n"


def _table(rows: dict[str, Any]) -> str:
    lines = ["| readout | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, row in rows.items():
        difference = row.get("minus_consensus")
        interval = (
            f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]" if difference else ""
        )
        numbers = [row["bleu4"], row["rouge_l"], row["distinct"]]
        cells = [f"{row['cider']:.3f}", interval, *(f"{one:.3f}" for one in numbers), f"{row['length']:.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
