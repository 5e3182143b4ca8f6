"""Ablations of a small common recipe: losses, text space, attention mask, start of the Predictor.

python -m eval.ablations eval/suites/ablations.yaml --data data/mini --work runs/ablations
python -m eval.ablations report eval/results/ablations.json --tables docs/ablations.md --plot docs/ablations.png

The first trains every row with every seed, reads the test set once a run and writes one JSON file; a run that is
complete in --work is not run again. With --rows or --seeds it does a part of the runs and writes no result: parts may
run side by side. The second writes tables and a plot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.command import evaluation_parser, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = evaluation_parser("eval.ablations", __doc__)
    result.add_argument("suite", type=Path, help="YAML file of the suite")
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--work", type=Path, default=Path("runs/ablations"), help="folder for the runs")
    result.add_argument("--cache", type=Path, default=Path("cache/ablations"), help="folder for encoded pictures")
    result.add_argument("--rows", nargs="+", help="do only these rows")
    result.add_argument("--seeds", type=int, nargs="+", help="do only these seeds")
    result.add_argument("--split", choices=("test", "validation"), default="test", help="test is read once, at the end")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/ablations.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement or the report."""
    if arguments[:1] == ["report"]:
        from eval.ablations.report import write_report

        reports = report_parser("eval.ablations")
        reports.add_argument("--plot", type=Path, help="PNG file to draw")
        shown = reports.parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables, plot=shown.plot)
        return 0
    given = parser().parse_args(arguments)
    from eval.ablations.measure import Setting, measure, measure_part

    setting = Setting(suite=given.suite, data=given.data, work=given.work, cache=given.cache, split=given.split)
    if given.rows or given.seeds:
        return run(lambda: measure_part(setting, rows=given.rows, seeds=given.seeds, say=say), output=None)
    return run(lambda: measure(setting, say=say), output=given.output)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
