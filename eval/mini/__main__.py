"""Evaluation of the mini model.

python -m eval.mini --data DIR0 DIR1 DIR2 --models M0 M1 M2 --photos PATH/TO/coco_photos
python -m eval.mini report eval/results/mini.json

The first reads the test sets (or `--split validation`) and writes one JSON file; a seed whose data, model and code
have not changed is not computed again. The second writes Markdown tables and a plot from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.command import evaluation_parser, report_parser, run, say
from vljepa.errors import DataError


def parser() -> argparse.ArgumentParser:
    """Return the command line of the evaluation."""
    result = evaluation_parser("eval.mini", __doc__)
    result.add_argument("--data", type=Path, nargs="+", required=True, help="prepared folders, one per seed")
    result.add_argument("--models", nargs="+", required=True, help="saved models, in the order of --data")
    result.add_argument("--photos", type=Path, required=True, help="folder with photos.jsonl and images/")
    result.add_argument("--captions-tsv", type=Path, help="image_id<TAB>caption lines; default: beside the photos")
    result.add_argument("--sources", nargs="+", default=["emoji", "clipart", "photos"], help="what the model learned")
    result.add_argument("--views", type=int, default=1, help="views per training picture that the baselines see")
    result.add_argument("--split", choices=("test", "validation"), default="test", help="test is read once, at the end")
    result.add_argument("--cache", type=Path, default=Path("cache/mini_eval"), help="a training's cache can be used")
    result.add_argument("-o", "--output", type=Path, default=Path("eval/results/mini.json"))
    return result


def main(arguments: list[str]) -> int:
    """Run the evaluation or the report."""
    if arguments[:1] == ["report"]:
        from eval.mini.report import write_report

        reports = report_parser("eval.mini")
        reports.add_argument("--plots", type=Path, help="folder for PNG plots, such as docs/")
        shown = reports.parse_args(arguments[1:])
        write_report(shown.result, tables=shown.tables, plots=shown.plots)
        return 0
    given = parser().parse_args(arguments)
    if len(given.data) != len(given.models):
        parser().error(f"{len(given.data)} data folders for {len(given.models)} models")
    return run(lambda: evaluate(given), output=given.output)


def evaluate(given: argparse.Namespace) -> dict[str, Any]:
    """Evaluate every seed."""
    from eval.mini import provenance, result
    from eval.mini.seed import Job

    beside = given.photos.parent / "coco_captions_val2017.tsv"
    tsv = given.captions_tsv or (beside if beside.is_file() else None)
    origin = provenance.origin("eval.mini")
    splits = [provenance.data_of(data)["split"] for data in given.data]
    if len(set(splits)) < len(splits):
        raise DataError(f"two data folders have the same split: {splits}.", fix="prepare with another --split-seed.")
    seeds = []
    for seed, (data, model) in enumerate(zip(given.data, given.models, strict=True)):
        job = Job(
            seed=seed,
            data=data,
            model=model,
            photos=given.photos,
            captions_tsv=tsv,
            sources=tuple(given.sources),
            views=given.views,
            split=given.split,
            cache=given.cache,
        )
        seeds.append(once(job))
    return result.assemble(seeds, origin=origin, packages=provenance.packages())


def once(job: Any) -> dict[str, Any]:
    """Result of one seed, from the last run when nothing that it depends on has changed."""
    from eval.mini import provenance
    from eval.mini.seed import evaluate_seed

    settings = json.dumps(asdict(job), default=str, sort_keys=True)
    parts = [settings, json.dumps([provenance.data_of(job.data), provenance.model_of(job.model)])]
    key = provenance.text_digest("\n".join([*parts, provenance.code_digest()]))
    kept = job.cache / "results" / f"{key}.json"
    if kept.is_file():
        say(f"seed {job.seed}: kept from {kept}")
        loaded: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return loaded
    start = time.perf_counter()

    def say_when(text: str) -> None:
        say(f"seed {job.seed} [{time.perf_counter() - start:4.0f} s] {text}")

    done = evaluate_seed(job, say=say_when)
    say_when("done")
    kept.parent.mkdir(parents=True, exist_ok=True)
    half = kept.with_suffix(".part")
    half.write_text(json.dumps(done), encoding="utf-8")
    half.replace(kept)
    return done


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
