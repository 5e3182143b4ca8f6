"""Tables, plots and one page from the results.

python eval/report.py --docs docs
python eval/report.py --html evaluation.html
python eval/report.py --readme README.md

The first writes every page of docs/ that holds numbers, and its plots; the second one page with everything inside it;
the third the section of README.md that holds numbers, as `eval/readme_numbers.md` says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, eval/ itself would stand there

from eval import registry
from eval.core.charts import Bar, bars
from eval.core.console import CONSOLE, log
from eval.core.provenance import ROOT
from eval.core.render import WHOLE, can_be_filled, filled, numbers, page, write_readme
from eval.tasks.comparisons import UNTOUCHED
from vljepa.errors import DataError, VLJEPAError

PLOTS = ("evaluation_retrieval.png", "evaluation_accuracy.png", "evaluation_sugarcrepe_pp.png")
Found = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python eval/report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=ROOT / "eval" / "results", help="folder of JSON files")
    parser.add_argument("--docs", type=Path, help="folder for the Markdown pages and their plots")
    parser.add_argument("--only", nargs="+", help="of the pages, these alone: evaluation, mini, captions ...")
    parser.add_argument("--html", type=Path, help="page to write")
    parser.add_argument("--readme", type=Path, help="README.md whose numbers to write anew")
    given = parser.parse_args(arguments)
    try:
        if given.docs is not None or given.html is not None:
            pages, drawn = documents(given.results, only=given.only)
            if given.docs is not None:
                for name, text in pages.items():
                    (given.docs / f"{name}.md").write_text(text, encoding="utf-8")
                for name, png in drawn.items():
                    (given.docs / name).write_bytes(png)
            if given.html is not None:
                whole = page(pages.pop("evaluation", ""), drawn, pages)
                given.html.write_text(whole, encoding="utf-8")
        if given.readme is not None:
            write_readme(given.readme, results=given.results)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    for path in (given.docs, given.html, given.readme):
        if path is not None:
            log(f"written: {path}")
    return 0


def documents(folder: Path, *, only: Sequence[str] | None = None) -> tuple[dict[str, str], dict[str, bytes]]:
    """Pages by name, and their plots."""
    pages: dict[str, str] = {}
    drawn: dict[str, bytes] = {}
    wanted = ["evaluation", "results", *registry.DOCUMENTS] if only is None else only
    if "evaluation" in wanted:
        results = read_results(folder)
        drawn |= draw(results)
        about = {"results": results, "plots": list(drawn), "others": list(registry.DOCUMENTS)}
        pages["evaluation"] = filled("evaluation.md", about) + "\n"
    if "results" in wanted and can_be_filled(WHOLE, results=folder):
        pages["results"] = numbers(results=folder, template=WHOLE)
    for name in registry.DOCUMENTS:
        if name in wanted:
            text, plots = registry.document(name, lambda one: load(folder / f"{one}.json"))
            if text:
                pages[name] = text
                drawn |= plots
    return pages, drawn


def load(path: Path) -> Found | None:
    """A result, where there is one."""
    loaded: Found | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return loaded


def read_results(folder: Path) -> list[Found]:
    """Every result that is tables of figures, by suite and model.

    Raises:
        DataError: There is none.
    """
    loaded = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    results = [one for one in loaded if isinstance(one, dict) and one.get("metrics") and "suite" in one]
    if not results:
        raise DataError(f"{str(folder)!r} has no result of eval/run.py.", fix="run `python eval/run.py all` first.")
    return results


def draw(results: Sequence[Found]) -> dict[str, bytes]:
    """Retrieval and accuracy with intervals and chance, and SugarCrepe++ by category, as far as there are any."""

    def title(result: Found) -> str:
        own = "" if result["model"]["name"] == "mini" else f", {result['model']['name']}"
        return str(result["title"]) + own

    def bar(name: str, figure: Mapping[str, float], chance: float) -> Bar:
        return Bar(name, figure["mean"], figure["low"], figure["high"], chance)

    r1 = [
        bar(f"{title(one)}\n{direction.replace('_', ' ')}", shares["r1"], one["chance"][direction]["r1"])
        for one in results if one["task"] == "retrieval" for direction, shares in one["metrics"].items()
    ]  # fmt: skip
    right = [
        bar(title(one), one["metrics"]["all"]["accuracy"], one["chance"]["all"]["accuracy"])
        for one in results if one["task"] == "questions" and "all" in one["metrics"]
    ]  # fmt: skip
    found = next((one["metrics"] for one in results if one["task"] == "text triplets"), None)
    by_category = [] if found is None else [
        Bar(f"{name.replace('_', ' ')}, {of}", found[of][name], chance=1 / 3, colour=colour)
        for name in found["model"] if name != "rows" for of, colour in ((UNTOUCHED, "0.6"), ("model", "tab:blue"))
    ]  # fmt: skip
    note = "black: 95% interval, red: chance"
    shown = ((r1, "R@1, percent"), (right, "accuracy, percent"), (by_category, "right, percent"))
    return {name: bars([(note, label, one)]) for name, (one, label) in zip(PLOTS, shown, strict=True) if one}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
