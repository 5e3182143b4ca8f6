"""The numbers of README.md, written from the results: `eval/readme_numbers.md` says which number stands where.

`{{FILE > key > key : FORMAT}}` is a value of eval/results/FILE.json, of a list by its place; `{{row NAME}}` and
`{{questions SOURCE}}` are two
kinds of rows of mini.json.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from eval.harness.suite import ROOT
from eval.mini.retrieval_rows import DIRECTIONS

TEMPLATE = ROOT / "eval" / "readme_numbers.md"
RESULTS = ROOT / "eval" / "results"
START, END = "## Numbers\n", "## Train it\n"
_PLACE = re.compile(r"\{\{(.+?)\}\}")


def write_readme(path: Path, *, results: Path = RESULTS) -> None:
    """Write the section of numbers anew."""
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(START)], text[text.index(END) :]
    path.write_text(f"{before}{START}\n{numbers(results=results)}\n{after}", encoding="utf-8")


def numbers(*, results: Path = RESULTS) -> str:
    """The section's text."""
    return _PLACE.sub(lambda found: _value(found[1], results), TEMPLATE.read_text(encoding="utf-8"))


def _value(place: str, results: Path) -> str:
    kind, _, name = place.partition(" ")
    if kind == "row":
        return " | ".join(_retrieval(results, source, name) for source in ("emoji", "photos"))
    if kind == "questions":
        row = _at(results, ["mini", "pooled", "questions", name, "accuracy", "all"])
        return f"{spread(row['model'])} (question alone {100 * row['question_only']['mean']:.1f})"
    path, _, form = place.rpartition(" : ")
    return _formatted(_at(results, path.split(" > ")), form)


def _retrieval(results: Path, source: str, name: str) -> str:
    row = _at(results, ["mini", "pooled", "retrieval", source, name])
    return ", ".join(" / ".join(spread(row[way][k]) for k in ("r1", "r5")) for way in DIRECTIONS)


def spread(figure: dict[str, Any]) -> str:
    """Mean (standard deviation) in percent; the mean alone where there is no spread."""
    mean = f"{100 * figure['mean']:.1f}"
    return f"{mean} ({100 * figure['std']:.1f})" if figure["std"] > 0 else mean


def _formatted(value: Any, form: str) -> str:
    if form == "count":
        return f"{value if isinstance(value, int) else len(value):,}"
    if form == "percent":
        return f"{100 * value['mean']:.1f} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"
    if form == "fewer":
        return f"{value['times_fewer']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
    if form == "difference":
        return f"{value['mean']:+.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return format(value, form)


def _at(results: Path, keys: list[str]) -> Any:
    value: Any = _loaded(results / f"{keys[0]}.json")
    for key in keys[1:]:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@cache
def _loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
