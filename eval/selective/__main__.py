"""Measurement of selective decoding.

python -m eval.selective eval/suites/selective.yaml --data data/mini --decoders scratch=vljepa/pretrained/mini/y_decoder
python -m eval.selective choose eval/suites/selective.yaml --data data/mini --decoders scratch=FOLDER
python -m eval.selective report eval/results/selective.json --tables docs/selective.md --plot docs/selective.png

The first reads the test pictures and writes one JSON file. The second reads the validation photos and prints what
`decoder.selective` should be. The third writes tables and a plot.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from rich.console import Console

from vljepa.errors import VLJEPAError

CONSOLE = Console(stderr=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = argparse.ArgumentParser(
        prog="python -m eval.selective", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("suite", type=Path, help="YAML file of the suite")
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--model", default="mini", help="the model whose embeddings are watched")
    result.add_argument(
        "--decoders", nargs="+", required=True, metavar="NAME=FOLDER", help="the first makes the curves"
    )
    result.add_argument("--beams", type=int, default=1, help="beams of the decoder")
    result.add_argument("--cache", type=Path, default=Path("cache/selective"), help="folder for encoded frames")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/selective.json"))
    return result


def report_parser() -> argparse.ArgumentParser:
    """Return the command line of the report."""
    result = argparse.ArgumentParser(prog="python -m eval.selective report")
    result.add_argument("result", type=Path, help="JSON file of a measurement")
    result.add_argument("--tables", type=Path, help="Markdown file to write; printed when absent")
    result.add_argument("--plot", type=Path, help="PNG file to draw")
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement, the choice or the report."""
    if arguments[:1] == ["report"]:
        from eval.selective.report import write_report

        shown = report_parser().parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables, plot=shown.plot)
        return 0
    choosing = arguments[:1] == ["choose"]
    given = parser().parse_args(arguments[1:] if choosing else arguments)
    decoders = dict(word.partition("=")[::2] for word in given.decoders)
    if not all(decoders.values()):
        parser().error("--decoders takes NAME=FOLDER")
    from eval.selective.choose import choose
    from eval.selective.measure import Setting, measure

    setting = Setting(
        suite=yaml.safe_load(given.suite.read_text(encoding="utf-8")),
        data=given.data,
        model=given.model,
        decoders=decoders,
        cache=given.cache,
        beams=given.beams,
    )
    try:
        if choosing:
            print(json.dumps(choose(setting, say=_say), indent=1))
            return 0
        result = measure(setting, say=_say)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    CONSOLE.print(f"written: {given.output}", highlight=False)
    return 0


def _say(text: str) -> None:
    CONSOLE.print(text, highlight=False, markup=False)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
