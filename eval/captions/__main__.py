"""Evaluation of Y-Decoders: captions of held-out pictures, round trips of held-out texts, controls, latency.

python -m eval.captions --data data/mini --decoders scratch=vljepa/pretrained/mini/y_decoder
python -m eval.captions report eval/results/captions.json --tables docs/captions.md

The first writes one JSON file, the second Markdown tables from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from vljepa.errors import VLJEPAError

CONSOLE = Console(stderr=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line of the evaluation."""
    result = argparse.ArgumentParser(
        prog="python -m eval.captions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--model", default="mini", help="the model whose embeddings are read")
    result.add_argument("--recipe", type=Path, default=Path("recipes/mini_decoder.yaml"), help="says what is held out")
    result.add_argument("--decoders", nargs="+", required=True, metavar="NAME=FOLDER", help="decoders to compare")
    result.add_argument("--split", choices=("test", "validation"), default="test", help="test is read once, at the end")
    result.add_argument("--cache", type=Path, default=Path("cache/mini"), help="a training's cache can be used")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/captions.json"))
    return result


def report_parser() -> argparse.ArgumentParser:
    """Return the command line of the report."""
    result = argparse.ArgumentParser(prog="python -m eval.captions report")
    result.add_argument("result", type=Path, help="JSON file of an evaluation")
    result.add_argument("--tables", type=Path, help="Markdown file to write; printed when absent")
    return result


def main(arguments: list[str]) -> int:
    """Run the evaluation or the report."""
    if arguments[:1] == ["report"]:
        from eval.captions.report import write_report

        given = report_parser().parse_args(arguments[1:])
        write_report(given.result, tables=given.tables)
        return 0
    given = parser().parse_args(arguments)
    decoders = dict(word.partition("=")[::2] for word in given.decoders)
    if not all(decoders.values()):
        parser().error("--decoders takes NAME=FOLDER")
    from eval.captions.measure import measure

    try:
        result = measure(
            data=given.data,
            model=given.model,
            recipe=given.recipe,
            decoders=decoders,
            split=given.split,
            cache=given.cache,
            say=_say,
        )
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
