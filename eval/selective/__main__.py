"""Measurement of selective decoding.

python -m eval.selective eval/suites/selective.yaml --data data/mini --decoders scratch=vljepa/pretrained/mini/y_decoder
python -m eval.selective choose eval/suites/selective.yaml --data data/mini --decoders scratch=FOLDER
python -m eval.selective report eval/results/selective.json --tables docs/selective.md --plot docs/selective.png

The first reads the test pictures and writes one JSON file. The second reads the validation photos and prints what
`decoder.selective` should be. The third writes tables and a plot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from eval.command import evaluation_parser, named_folders, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = evaluation_parser("eval.selective", __doc__)
    result.add_argument("suite", type=Path, help="YAML file of the suite")
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--model", default="mini", help="the model whose embeddings are watched")
    result.add_argument(
        "--decoders",
        nargs="+",
        required=True,
        type=named_folders,
        metavar="NAME=FOLDER",
        help="the first makes the curves",
    )
    result.add_argument("--beams", type=int, default=1, help="beams of the decoder")
    result.add_argument("--cache", type=Path, default=Path("cache/selective"), help="folder for encoded frames")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/selective.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement, the choice or the report."""
    if arguments[:1] == ["report"]:
        from eval.selective.report import write_report

        reports = report_parser("eval.selective")
        reports.add_argument("--plot", type=Path, help="PNG file to draw")
        shown = reports.parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables, plot=shown.plot)
        return 0
    choosing = arguments[:1] == ["choose"]
    given = parser().parse_args(arguments[1:] if choosing else arguments)
    from eval.selective.choose import choose
    from eval.selective.measure import Setting, measure

    setting = Setting(
        suite=yaml.safe_load(given.suite.read_text(encoding="utf-8"))["settings"],
        data=given.data,
        model=given.model,
        decoders=dict(given.decoders),
        cache=given.cache,
        beams=given.beams,
    )
    if choosing:
        return run(lambda: choose(setting, say=say), output=None)
    return run(lambda: measure(setting, say=say), output=given.output)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
