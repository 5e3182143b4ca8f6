"""Measures a model on the field's own protocols.

python eval/run.py SUITE --model mini --data FOLDER
python eval/run.py all --model mini
python eval/run.py list

SUITE is a file of eval/suites; `all` runs every one whose files are there. FOLDER holds a folder per suite, or, for a
single suite, its files; `data` and `tests/assets` of the clone are looked at too. One JSON file per result goes to
eval/results. A result is not computed again while model, suite and data are the same.

Every result says how much of its test data is in the training data, which --train names; those of mini and mini-video
are known, and are looked for in the data folders (mini). Without training data it says that nobody has looked.

Exit code: 0 when everything was measured, 3 when suites were skipped for want of files (they are named, with what is
missing, where it comes from and its licence), 2 after an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, eval/ itself would stand there

from eval.command import CONSOLE, say
from eval.harness import result as results
from eval.harness.suite import ROOT, Found, Suite, find, read_suite, suite_names
from eval.harness.training import Training, training_of
from eval.report import figures, own_reports
from vljepa.cli.quiet import hush_libraries
from vljepa.errors import ConfigError, DataError, VLJEPAError
from vljepa.inference.embed import Embedder

DONE, ERROR, SKIPPED = 0, 2, 3


def tasks() -> dict[str, Callable[..., dict[str, Any]]]:
    """By the name that a suite gives it: from the files and a loaded model to figures."""
    from eval.tasks import (
        animations,
        captions,
        classification,
        comparisons,
        order,
        questions,
        retrieval,
        round_trips,
        streams,
    )

    return {
        "retrieval": retrieval.measure,
        "classification": classification.measure,
        "questions": questions.measure,
        "captions": captions.measure,
        "stored captions": captions.stored,
        "text triplets": comparisons.triplets,
        "image-text pairs": comparisons.pairs,
        "two by two": comparisons.two_by_two,
        "clips": comparisons.clips,
        "round trip": round_trips.measure,
        "streams": streams.measure,
        "order": order.measure,
        "animations": animations.measure,
    }


def programs() -> dict[str, Callable[..., dict[str, Any]]]:
    """Evaluations with result formats of their own: from the files, a model's name and a cache folder."""
    from eval.tasks import programs

    return {
        "eval.mini": programs.mini,
        "eval.captions": programs.captions,
        "eval.selective": programs.selective,
        "eval.moments": programs.moments,
        "eval.adaptation": programs.adaptation,
    }


class Model:
    """A model that is loaded when the first suite needs it.

    Args:
        name: Preset, folder or repository.
        device: As for `Embedder.from_pretrained`.
    """

    def __init__(self, name: str, *, device: str | None) -> None:
        self.name, self._device = name, device

    @cached_property
    def embedder(self) -> Embedder:
        """The loaded model."""
        say(f"loading {self.name}")
        return Embedder.from_pretrained(self.name, device=self._device)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python eval/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("suite", help="name of a suite, `all`, or `list`")
    result.add_argument("--model", default="mini", help="preset, folder or repository")
    result.add_argument("--data", type=Path, nargs="+", default=[], metavar="FOLDER", help="where data are kept")
    result.add_argument(
        "--train", nargs="+", default=[], metavar="PATH", help="training data, as for `vljepa data overlap`"
    )
    result.add_argument("--results", type=Path, default=ROOT / "eval" / "results", help="folder for the JSON files")
    result.add_argument("--cache", type=Path, default=ROOT / "cache", help="folder for encoded features")
    result.add_argument("--device", help="cpu, cuda, cuda:1, mps; without it CUDA where present, else the CPU")
    result.add_argument("--again", action="store_true", help="compute results that still hold, too")
    return result


def main(arguments: Sequence[str]) -> int:
    """Measure."""
    given = parser().parse_args(arguments)
    if given.suite == "list":
        for name in suite_names():
            suite = read_suite(name)
            print(f"{name:24}{suite.title}. From {suite.source} (licence: {suite.licence})")
        return DONE
    try:
        names = suite_names() if given.suite == "all" else [read_suite(given.suite).name]
        lacking = next((str(folder) for folder in given.data if not folder.is_dir()), None)
        if lacking is not None:
            raise ConfigError(f"--data: there is no folder {lacking!r}.", fix="check the path.")
        return _run(names, given)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return ERROR


def _run(names: Sequence[str], given: argparse.Namespace) -> int:
    model = Model(given.model, device=given.device)
    training = training_of(given.model, given=given.train, folders=given.data)
    skipped, wrong = [], []
    for number, name in enumerate(names, start=1):
        suite, place = read_suite(name), f"[{number}/{len(names)}] {name}"
        try:
            found = _files(suite, given, place=place, alone=len(names) == 1)
            if found is None:
                skipped += [] if name.startswith("own_") and len(names) > 1 else [name]
                continue
            say(f"{place}: {suite.title}, about {suite.minutes:g} min on two cores")
            _measure(found, model, training, given)
        except Exception as error:  # whatever it is, it is one suite's, and the others are still to be measured
            if len(names) == 1:
                raise
            wrong.append(name)
            known = isinstance(error, VLJEPAError)
            say(f"{name}: error: {error}" if known else f"{name}: {''.join(traceback.format_exception(error))}")
    if skipped:
        say(f"skipped for want of files: {', '.join(skipped)}")
    if wrong:
        say(f"ended with an error: {', '.join(wrong)}")
    return ERROR if wrong else SKIPPED if skipped else DONE


def _files(suite: Suite, given: argparse.Namespace, *, place: str, alone: bool) -> Found | None:
    """The suite's files; without them None, and what is missing is said: but nobody lacks files of his own."""
    try:
        return find(suite, given.data, alone=alone)
    except DataError as error:
        if alone or not suite.name.startswith("own_"):
            say(f"{place}: skipped. {error}")
        return None


def _measure(found: Found, model: Model, training: Training, given: argparse.Namespace) -> None:
    path = given.results / result_name(found.suite, model.name)
    work = (tasks() | programs())[found.suite.task]
    key = results.key_of(found, model.name, code=work.__module__)
    own_format = found.suite.task in programs()
    if not given.again and results.kept(path, key, training=None if own_format else training.digest) is not None:
        say(f"{found.suite.name}: kept, {path} still holds")
        print(shown(found.suite, path))
        return
    if not own_format:
        training.open()  # what is wrong with it is said before hours of measuring
    start, suite = time.perf_counter(), found.suite
    if own_format:
        whole = work(found, model.name, given.cache, **suite.settings)
        whole |= {"key": key, "overlap": training.overlap(None, note=suite.overlap), "licence": suite.licence}
    else:
        measured = work(found, model.embedder, **suite.settings)
        if "predictions" in measured:
            from eval.tasks.captions import predictions_text

            beside = path.with_name("predictions") / path.name
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(predictions_text(measured), encoding="utf-8")
            del measured["predictions"], measured["said"]
        device = str(model.embedder.device)
        overlap = training.overlap(measured.pop("examined"), note=suite.overlap)
        whole = results.assemble(measured, found, model=model.name, device=device, key=key, overlap=overlap)
    whole["seconds"] = round(time.perf_counter() - start, 1)
    results.write(whole, path)
    say(f"{suite.name}: {whole['seconds']:.0f} s, written: {path}")
    print(shown(suite, path))


def shown(suite: Suite, path: Path) -> str:
    """The figures of a result in a file, as tables of Markdown below a title."""
    result = json.loads(path.read_text(encoding="utf-8"))
    if "metrics" in result:
        return f"\n{result['title']}: {result['model']['name']}, {result['rows']:,} rows\n\n{figures(result)}\n"
    return f"\n{own_reports()[suite.task.removeprefix('eval.')](result)}\n"


def result_name(suite: Suite, model: str) -> str:
    """File of a result: the suite's name, and the model's where it is not mini."""
    return f"{suite.name}.json" if model == "mini" else f"{suite.name}.{model.strip('/').replace('/', '_')}.json"


if __name__ == "__main__":
    hush_libraries()
    raise SystemExit(main(sys.argv[1:]))
