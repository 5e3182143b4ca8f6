"""Evaluation of Y-Decoders: captions of held-out pictures, round trips of held-out texts, controls, latency.

python -m eval.captions --data data/mini --decoders scratch=vljepa/pretrained/mini/y_decoder
python -m eval.captions report eval/results/captions.json --tables docs/captions.md

The first writes one JSON file, the second Markdown tables from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.command import evaluation_parser, named_folders, report_parser, run, say


def parser() -> argparse.ArgumentParser:
    """Return the command line of the evaluation."""
    result = evaluation_parser("eval.captions", __doc__)
    result.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    result.add_argument("--model", default="mini", help="the model whose embeddings are read")
    result.add_argument("--recipe", type=Path, default=Path("recipes/mini_decoder.yaml"), help="says what is held out")
    result.add_argument(
        "--decoders", nargs="+", required=True, type=named_folders, metavar="NAME=FOLDER", help="decoders to compare"
    )
    result.add_argument("--split", choices=("test", "validation"), default="test", help="test is read once, at the end")
    result.add_argument("--cache", type=Path, default=Path("cache/mini"), help="a training's cache can be used")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/captions.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the evaluation or the report."""
    if arguments[:1] == ["report"]:
        from eval.captions.report import write_report

        shown = report_parser("eval.captions").parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables)
        return 0
    given = parser().parse_args(arguments)
    from eval.captions.measure import measure

    return run(
        lambda: measure(
            data=given.data,
            model=given.model,
            recipe=given.recipe,
            decoders=dict(given.decoders),
            split=given.split,
            cache=given.cache,
            say=say,
        ),
        output=given.output,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
