"""Measures a model: the field's own protocols, our studies, and benchmarks of speed and memory.

python eval/run.py SUITE... --model mini --data FOLDER
python eval/run.py all --model mini
python eval/run.py comparison only=grid
python eval/run.py bench.kill trials=60
python eval/run.py list

SUITE is a file of eval/suites; `all` runs every one whose files are there and that trains no model of its own. FOLDER
holds a folder per suite, or, for a single suite, its files; `data` and `tests/assets` of the clone are looked at too.
NAME=VALUE changes a setting of a suite (`streams.seconds=60`) or an argument of a benchmark. One JSON file per result
goes to eval/results. A result is not computed again while model, suite, settings, code and data are the same.

Every result says how much of its test data is in the training data, which --train names; those of the models that we
ship are known, and are looked for in the data folders (mini). Without training data it says that nobody has looked.

Exit code: 0 when everything was measured, 3 when suites were skipped for want of files (they are named, with what is
missing, where it comes from and its licence), 2 after an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, eval/ itself would stand there

from eval import registry
from eval.core import provenance
from eval.core.cache import still_holds, write
from eval.core.console import CONSOLE, log
from eval.core.contamination import Training, training_of
from eval.core.provenance import ROOT, result_name
from eval.core.render import figures
from eval.core.result import Context, Model, assemble, suite_key
from eval.core.suite import Found, Suite, find, read_suite, suite_names
from vljepa.cli.quiet import hush_libraries
from vljepa.errors import ConfigError, DataError, VLJEPAError

DONE, ERROR, SKIPPED = 0, 2, 3
BENCH = "bench."


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python eval/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("asked", nargs="+", metavar="SUITE", help="names of suites, `all`, `list`, or bench.NAME")
    result.add_argument("--model", default="mini", help="preset, folder or repository")
    result.add_argument("--data", type=Path, nargs="+", default=[], metavar="FOLDER", help="where data are kept")
    result.add_argument(
        "--train", nargs="+", default=[], metavar="PATH", help="training data, as for `vljepa data overlap`"
    )
    result.add_argument("--results", type=Path, default=ROOT / "eval" / "results", help="folder for the JSON files")
    result.add_argument("--cache", type=Path, default=ROOT / "cache", help="folder for encoded features")
    result.add_argument("--work", type=Path, default=ROOT / "runs" / "eval", help="folder for the runs of studies")
    result.add_argument("--device", help="cpu, cuda, cuda:1, mps; without it CUDA where present, else the CPU")
    result.add_argument("--again", action="store_true", help="compute results that still hold, too")
    return result


def main(arguments: Sequence[str]) -> int:
    """Measure."""
    given = parser().parse_intermixed_args(arguments)
    given.settings = dict(one.split("=", 1) for one in given.asked if "=" in one)
    asked = [one for one in given.asked if "=" not in one]
    if asked == ["list"]:
        for suite in map(read_suite, suite_names()):
            print(f"{suite.name:28}{suite.title}. From {suite.source} (licence: {suite.licence})")
        print(f"{BENCH + '*':28}{', '.join(registry.BENCHES)}")
        return DONE
    try:
        lacking = next((str(folder) for folder in given.data if not folder.is_dir()), None)
        if lacking is not None:
            raise ConfigError(f"--data: there is no folder {lacking!r}.", fix="check the path.")
        names = [name for one in asked for name in (_all() if one == "all" else [one])]
        suites = {name: None if name.startswith(BENCH) else with_settings(read_suite(name), given.settings) for name in
                  names}  # fmt: skip
        return _run(suites, given)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return ERROR


def _all() -> list[str]:
    return [suite.name for suite in map(read_suite, suite_names()) if not suite.trains]


def with_settings(suite: Suite, changes: Mapping[str, str]) -> Suite:
    """A suite with some of its settings changed; a dot in a name goes into a mapping."""
    settings = json.loads(json.dumps(suite.settings))
    for name, value in changes.items():
        *path, last = name.split(".")
        place = settings
        for one in path:
            place = place.setdefault(one, {})
        place[last] = yaml.safe_load(value)
    return suite.model_copy(update={"settings": settings})


def _run(suites: Mapping[str, Suite | None], given: argparse.Namespace) -> int:
    model = Model(given.model, device=given.device)
    training = training_of(given.model, given=given.train, folders=given.data)
    skipped, wrong = [], []
    for number, (name, suite) in enumerate(suites.items(), start=1):
        place = f"[{number}/{len(suites)}] {name}"
        try:
            if suite is None:
                _bench(name.removeprefix(BENCH), given)
                continue
            found = _files(suite, given, place=place, alone=len(suites) == 1)
            if found is None:
                skipped += [] if name.startswith("own_") and len(suites) > 1 else [name]
                continue
            log(f"{place}: {suite.title}, about {suite.minutes:g} min on two cores")
            _measure(Context(found, model, given.cache, given.work), training, given)
        except Exception as error:  # whatever it is, it is one suite's, and the others are still to be measured
            if len(suites) == 1:
                raise
            wrong.append(name)
            known = isinstance(error, VLJEPAError)
            log(f"{name}: error: {error}" if known else f"{name}: {''.join(traceback.format_exception(error))}")
    if skipped:
        log(f"skipped for want of files: {', '.join(skipped)}")
    if wrong:
        log(f"ended with an error: {', '.join(wrong)}")
    return ERROR if wrong else SKIPPED if skipped else DONE


def _files(suite: Suite, given: argparse.Namespace, *, place: str, alone: bool) -> Found | None:
    """The suite's files; without them None, and what is missing is said: but nobody lacks files of his own."""
    try:
        return find(suite, given.data, alone=alone)
    except DataError as error:
        if alone or not suite.name.startswith("own_"):
            log(f"{place}: skipped. {error}")
        return None


def _measure(context: Context, training: Training, given: argparse.Namespace) -> None:
    suite, model = context.found.suite, context.model
    path = given.results / f"{result_name(suite.name, model.name)}.json"
    measure = registry.task(suite.task)
    key = suite_key(context, code=measure.__module__)
    if not given.again and _compared(still_holds(path, key), training):
        log(f"{suite.name}: kept, {path} still holds")
        print(shown(path))
        return
    training.open()  # what is wrong with it is said before hours of measuring
    start = time.perf_counter()
    result = measure(context, **suite.settings)
    device = str(model.embedder.device) if "embedder" in vars(model) else "cpu"
    overlap = training.overlap(result.examined, note=suite.overlap)
    whole = assemble(result, context, device=device, key=key, overlap=overlap)
    predictions = whole.pop("predictions", None)  # what COCO's server takes
    if predictions is not None:
        beside = path.with_name("predictions") / path.name
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")
    whole["seconds"] = round(time.perf_counter() - start, 1)
    write(whole, path)
    log(f"{suite.name}: {whole['seconds']:.0f} s, written: {path}")
    print(shown(path))


def _compared(result: dict[str, Any] | None, training: Training) -> bool:
    """Whether a result was compared with the training data that are at hand; without any, what it has holds."""
    if result is None:
        return False
    overlap = result["overlap"]
    known = not overlap["looked_at"] and overlap["why"] == Training.UNKNOWN
    return known or training.digest in (None, overlap.get("train", {}).get("sha256"))


def _bench(name: str, given: argparse.Namespace) -> None:
    """A benchmark, whose arguments are the settings."""
    if name not in registry.BENCHES:
        raise ConfigError(f"there is no benchmark {name!r}.", fix=f"use one of {', '.join(registry.BENCHES)}.")
    path = given.results / f"{name}.json"
    settings = {key: yaml.safe_load(value) for key, value in given.settings.items()}
    start = provenance.origin(device=given.device or "cpu")
    write({**start, **registry.bench(name).measure(**settings)}, path)
    print(path.read_text(encoding="utf-8"), end="")


def shown(path: Path) -> str:
    """The figures of a result in a file, as tables of Markdown below a title."""
    result = json.loads(path.read_text(encoding="utf-8"))
    head = f"{result['title']}: {result['model']['name']}"
    own = None if result["metrics"] else registry.tables(result["task"], result)
    return f"\n{head}, {result['rows']:,} rows\n\n{figures(result)}\n" if own is None else f"\n{head}\n\n{own}\n"


if __name__ == "__main__":
    hush_libraries()
    raise SystemExit(main(sys.argv[1:]))
