"""Adaptation of mini to photos of 50 kinds of groceries, from 1, 3 or 12 pictures of each.

python -m eval.adaptation --data PATH/TO/grocery_photos --mini-data data/mini --work runs/adaptation
python -m eval.adaptation report eval/results/adaptation.json --tables docs/adaptation.md

The folder has photos.jsonl (image, label, split) and images/. The first writes one JSON file, the second a table. A run
that is complete in --work is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from eval.adaptation.report import ARMS, write_report
from eval.command import evaluation_parser, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = evaluation_parser("eval.adaptation", __doc__)
    result.add_argument("--data", type=Path, required=True, help="folder with photos.jsonl and images/")
    result.add_argument("--mini-data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--work", type=Path, default=Path("runs/adaptation"), help="folder for samples and runs")
    result.add_argument("--shots", type=int, nargs="+", default=[1, 3, 12], help="training pictures of each kind")
    result.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    result.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="which arms are measured")
    result.add_argument("--keep", type=Path, help="earlier result whose other arms are taken over as they are")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/adaptation.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement or the report."""
    if arguments[:1] == ["report"]:
        shown = report_parser("eval.adaptation").parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables)
        return 0
    given = parser().parse_args(arguments)
    from eval.adaptation.measure import measure

    return run(
        lambda: measure(
            data=given.data,
            mini_data=given.mini_data,
            work=given.work,
            shots=given.shots,
            seeds=given.seeds,
            arms=given.arms,
            kept=None if given.keep is None else json.loads(given.keep.read_text(encoding="utf-8")),
            say=say,
        ),
        output=given.output,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
