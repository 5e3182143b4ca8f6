"""Tables, plots and one page from the results.

python eval/report.py --tables docs/evaluation.md --plots docs
python eval/report.py --html evaluation.html
python eval/report.py --readme README.md

The first writes Markdown tables of every result of `eval/run.py` and the plots that they show; the second one page
with everything inside it, the evaluations that have reports of their own too; the third writes the section of README.md
that holds numbers, as `eval/readme_numbers.md` says.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, eval/ itself would stand there

from eval.charts import draw
from eval.command import CONSOLE, say
from eval.harness.suite import ROOT
from eval.mini.report import table
from eval.readme import write_readme
from vljepa.errors import DataError, VLJEPAError

PLOTS = ("evaluation_retrieval.png", "evaluation_accuracy.png", "evaluation_sugarcrepe_pp.png")
SHARES = re.compile(r"^(r1|r5|r10|top1|top5|accuracy|pair_accuracy|mean_per_class|text|image|group|rows)$")
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>vljepa: evaluation</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}}
table{{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}}td,th{{padding:.25rem .6rem;
border-bottom:1px solid #ddd}}th{{text-align:left;border-bottom:2px solid #888}}img{{max-width:100%}}
code{{background:#f3f3f3;padding:0 .2rem;overflow-wrap:anywhere}}summary{{font-size:1.3rem;cursor:pointer}}</style>
{body}
</html>
"""


def main(arguments: Sequence[str]) -> int:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python eval/report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=ROOT / "eval" / "results", help="folder of JSON files")
    parser.add_argument("--tables", type=Path, help="Markdown file to write")
    parser.add_argument("--plots", type=Path, help="folder for the PNG files")
    parser.add_argument("--html", type=Path, help="page to write")
    parser.add_argument("--readme", type=Path, help="README.md whose numbers to write anew")
    given = parser.parse_args(arguments)
    try:
        results = read_results(given.results)
        drawn = draw(results, PLOTS) if given.tables or given.plots or given.html else {}
        if given.plots is not None:
            for name, png in drawn.items():
                (given.plots / name).write_bytes(png)
        if given.tables is not None:
            given.tables.write_text(markdown(results, plots=list(drawn)), encoding="utf-8")
        if given.html is not None:
            given.html.write_text(page(results, drawn, folder=given.results), encoding="utf-8")
        if given.readme is not None:
            write_readme(given.readme, results=given.results)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    for path in (given.tables, given.plots, given.html, given.readme):
        if path is not None:
            say(f"written: {path}")
    return 0


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Every result that `eval/run.py` wrote in its own format, by suite and model.

    Raises:
        DataError: There is none.
    """
    loaded = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    results = [one for one in loaded if isinstance(one, dict) and isinstance(one.get("suite"), str)]
    if not results:
        raise DataError(f"{str(folder)!r} has no result of eval/run.py.", fix="run `python eval/run.py all` first.")
    return results


def markdown(results: Sequence[dict[str, Any]], *, plots: Sequence[str]) -> str:
    """All tables, with what every number has to say about itself, below the plots."""
    parts = [
        "# Evaluation: every suite that ran here\n",
        "Written by `python eval/report.py --tables docs/evaluation.md --plots docs`; the numbers are in "
        "`eval/results/`. `python eval/run.py list` names every suite and where its files come from; one whose files "
        "are not there is skipped and named. In brackets 95% intervals: bootstrap over items (pictures, concepts, "
        "rows). Shares in percent. Ties count against the model.\n",
        "Evaluations with baselines and reports of their own: [mini.md](mini.md), [captions.md](captions.md), "
        "[selective.md](selective.md), [moments.md](moments.md), [order.md](order.md), [adaptation.md](adaptation.md), "
        "[ablations.md](ablations.md), [comparison.md](comparison.md).\n",
        *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})\n" for name in plots),
        *map(section, results),
    ]
    return "\n".join(parts)


def section(result: dict[str, Any]) -> str:
    """One result."""
    pool = "; ".join(", ".join(f"{count:,} {what}" for what, count in one.items()) for one in result["pool"])
    model = result["model"]
    dirty = ", with uncommitted changes" if result["uncommitted_changes"] else ""
    expected = result["rows_expected"]
    lines = [
        f"## {result['title']}: {model['name']}\n",
        f"`{result['command']}`\n",
        f"{_sentence(result['protocol'])} Pool: {pool}; {result['rows']:,} rows"
        + (f", where the official files have {expected:,}" if expected not in (None, result["rows"]) else "")
        + f". Unreadable and left out: {result['skipped']['count']}. Prompt: {result['prompt'] or 'none'}. "
        f"Frames: {result['frames']}. {_candidates(result['candidates'])}\n",
        figures(result),
        f"\nData: {result['source']}, {result['version']}, {result['split']}; licence: {result['licence']}. "
        f"{_overlap(result['overlap'])} Model {model['sha256']}, data {result['key']['data']}, "
        f"seed {result['seed']}, commit {result['commit'][:12]}{dirty}, {result['date']}, {result['hardware']}, "
        f"{result['seconds']:.0f} s.\n",
    ]
    return "\n".join(lines)


def _overlap(overlap: dict[str, Any]) -> str:
    """What of the test is in the training data, of how many, in what."""
    note = f" {_sentence(overlap['note'])}"
    if not overlap["looked_at"]:
        return f"Overlap with training: not looked at ({overlap['why']}).{note}"
    test, train = overlap["test"], overlap["train"]
    counted = []
    if test["pictures"]:
        counted.append(f"of {test['pictures']:,} test pictures {overlap['exact']:,} are equal to one of training and "
                       f"{overlap['near']:,} more look like one")  # fmt: skip
    if test["texts"]:
        counted.append(f"of {test['texts']:,} test texts (with their questions) {overlap['text']:,} are in both")
    lacking = f", without {', '.join(train['lacking'])}" if train["lacking"] else ""
    unread = sum(overlap["unreadable"].values())
    return (
        f"Overlap with training: {'; '.join(counted)}. Compared with {train['pictures']:,} pictures and "
        f"{train['texts']:,} texts of {', '.join(train['files'])} ({train['origin']}{lacking})"
        + (f"; {unread:,} pictures could not be read" if unread else "")
        + f".{note}"
    )


def figures(result: dict[str, Any]) -> str:
    """A column per figure, a row per part; parts with other figures get a table of their own."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for part, figures in result["metrics"].items():
        groups.setdefault(tuple(figures), []).append(part)
    tables = []
    for names, parts in groups.items():
        shares = _shares(result["task"], names)
        rows = [
            [part.replace("_", " "), *(cell(result["metrics"][part][name], share=name in shares) for name in names)]
            for part in parts
        ]
        for part in parts:
            chance = result.get("chance", {}).get(part, {})
            if chance.keys() & set(names):
                said = [cell(chance[name], share=name in shares) if name in chance else "" for name in names]
                rows.append([f"chance, {part.replace('_', ' ')}", *said])
        tables.append(table(["", *(name.replace("_", " ") for name in names)], rows))
    return "\n\n".join(tables)


def _shares(task: str, names: Sequence[str]) -> set[str]:
    """Figures that are shown in percent."""
    if task in ("text triplets", "image-text pairs"):
        return set(names)
    if task == "order":
        return set(names) - {"questions"}
    return {name for name in names if SHARES.match(name)}


def cell(figure: Any, *, share: bool) -> str:
    """A number with its interval, if it has one."""
    scale, digits = (100, 1) if share else (1, 3)
    if isinstance(figure, dict):
        mean, low, high = (scale * figure[key] for key in ("mean", "low", "high"))
        return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    if isinstance(figure, int):
        return f"{figure:,}"
    return f"{scale * figure:.{digits}f}"


def _candidates(candidates: Any) -> str:
    if candidates is None:
        return "Candidates: the pool."
    if isinstance(candidates, dict) and "own_list_per_row_of" in candidates:
        return f"Candidates: each row's own, {', '.join(map(str, candidates['own_list_per_row_of']))} of them."
    if isinstance(candidates, dict):
        listed = candidates.get("list") or [*candidates["first"], "..."]
        return f"Candidates ({candidates['count']:,}): {', '.join(listed)}."
    return f"Candidates ({len(candidates):,}): {', '.join(candidates[:200])}."


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def page(results: Sequence[dict[str, Any]], drawn: dict[str, bytes], *, folder: Path) -> str:
    """One HTML page with every plot inside it, and the tables of the evaluations that have reports of their own."""
    from markdown_it import MarkdownIt

    render = MarkdownIt("commonmark", {"html": False}).enable("table").render
    body = render(markdown(results, plots=list(drawn)))
    for name, png in drawn.items():
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{base64.b64encode(png).decode()}"')
    for name, written in own_reports().items():
        path = folder / f"{name}.json"
        if path.is_file():
            text = re.sub(r"!\[.*?\]\(.*?\)", "", written(json.loads(path.read_text(encoding="utf-8"))))
            body += f"<details><summary>{name}</summary>{render(text)}</details>\n"
    return PAGE.format(body=re.sub(r'<a href="[^"]*\.md">(.*?)</a>', r"\1", body))


def own_reports() -> dict[str, Callable[[dict[str, Any]], str]]:
    """By name of a result with a format of its own, what writes its tables."""
    from eval.adaptation.report import as_markdown as adaptation
    from eval.captions.report import as_markdown as captions
    from eval.comparison.report import as_markdown as comparison
    from eval.mini.report import markdown as mini
    from eval.moments.report import as_markdown as moments
    from eval.selective.report import as_markdown as selective

    return {
        "mini": mini,
        "captions": captions,
        "selective": selective,
        "moments": moments,
        "adaptation": adaptation,
        "comparison": comparison,
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
