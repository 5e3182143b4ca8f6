"""Measurement of search in time.

python -m eval.moments eval/suites/moments.yaml --data data/mini
python -m eval.moments report eval/results/moments.json --tables docs/moments.md

The first writes one JSON file, the second Markdown tables from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from eval.command import evaluation_parser, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = evaluation_parser("eval.moments", __doc__)
    result.add_argument("suite", type=Path, help="YAML file of the suite")
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--model", default="mini", help="the model that searches")
    result.add_argument("--split", choices=("test", "validation"), default="test", help="test is read once, at the end")
    result.add_argument("--cache", type=Path, default=Path("cache/moments"), help="folder for encoded frames")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/moments.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement or the report."""
    if arguments[:1] == ["report"]:
        from eval.moments.report import write_report

        shown = report_parser("eval.moments").parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables)
        return 0
    given = parser().parse_args(arguments)
    from eval.moments.measure import measure

    plan = yaml.safe_load(given.suite.read_text(encoding="utf-8"))["settings"]
    return run(
        lambda: measure(data=given.data, model=given.model, split=given.split, cache=given.cache, say=say, **plan),
        output=given.output,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
