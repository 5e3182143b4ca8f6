"""Questions about photos whose answers are skewed: is the trained model better than what the question alone tells?

python -m eval.answer_prior --photos PATH/TO/coco_photos --sets objects -o eval/results/answer_prior_objects.json
python -m eval.answer_prior report eval/results/answer_prior_objects.json

The folder has photos.jsonl (image, image_id, objects, captions) and images/. The first builds the questions, trains and
writes one JSON file, the second the tables. A run that is complete in --work is not trained again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.answer_prior.report import write_report
from eval.command import evaluation_parser, report_parser, run, say

HELD_OUT = Path("recipes/mini/splits/photos.json")
SETS = ("objects", "captions")


def parser() -> argparse.ArgumentParser:
    """Return the command line of the measurement."""
    result = evaluation_parser("eval.answer_prior", __doc__)
    result.add_argument("--photos", type=Path, required=True, help="folder with photos.jsonl and images/")
    result.add_argument("--held-out", type=Path, default=HELD_OUT, help="JSON file with the ids of unseen photos")
    result.add_argument("--work", type=Path, default=Path("runs/answer_prior"), help="folder for questions and runs")
    result.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    result.add_argument("--folds", type=int, default=1, help="of a cross-validation by picture instead of one split")
    result.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which questions are asked")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/answer_prior.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the measurement or the report."""
    if arguments[:1] == ["report"]:
        shown = report_parser("eval.answer_prior").parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables)
        return 0
    given = parser().parse_args(arguments)
    from eval.answer_prior.measure import measure

    return run(
        lambda: measure(
            photos=given.photos,
            held_out=given.held_out,
            work=given.work,
            seeds=given.seeds,
            sets=given.sets,
            folds=given.folds,
            say=say,
        ),
        output=given.output,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
