"""The controlled comparison: predicting embeddings against generating tokens, from one LM slice on one set of data.

python -m eval.comparison eval/suites/comparison.yaml --data data/mini --photos PATH/TO/coco_photos
python -m eval.comparison test eval/suites/comparison.yaml --data data/mini --photos PATH/TO/coco_photos
python -m eval.comparison report eval/results/comparison.json --tables docs/comparison.md --plot docs/comparison.png

The first trains all runs and chooses the learning rates on validation; what is complete in --work is not done again.
The second reads the test pictures at all checkpoints and writes one JSON file. The third writes tables and a plot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.command import evaluation_parser, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the comparison."""
    result = evaluation_parser("eval.comparison", __doc__)
    result.add_argument("suite", type=Path, help="YAML file of the suite")
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--photos", type=Path, required=True, help="folder with photos.jsonl: objects on the photos")
    result.add_argument("--work", type=Path, default=Path("runs/comparison"), help="folder for caches and runs")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/comparison.json"))
    return result


def main(arguments: list[str]) -> int:
    """Train, test or report."""
    if arguments[:1] == ["report"]:
        from eval.comparison.report import write_report

        reports = report_parser("eval.comparison")
        reports.add_argument("--plot", type=Path, help="PNG file to draw")
        shown = reports.parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables, plot=shown.plot)
        return 0
    testing = arguments[:1] == ["test"]
    given = parser().parse_args(arguments[1:] if testing else arguments)
    from eval.comparison.study import train
    from eval.comparison.world import Setting

    setting = Setting.read(given.suite, data=given.data, photos=given.photos, work=given.work)
    if testing:
        from eval.comparison.held_out import read_test

        return run(lambda: read_test(setting, say=say), output=given.output)
    return run(lambda: train(setting, say=say), output=None)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
