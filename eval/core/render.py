"""The one renderer: a cell, a table, a result and a page, for Markdown, HTML and README.md.

A page about a task's own tables is a template of Jinja, `eval/pages/TASK.md`, with the keys of the result as names.
README's section of numbers is written from `eval/readme_numbers.md`: `{{FILE > key > key : FORM}}` is a value of
eval/results/FILE.json, of a list by its place, and FILE@clips that of the model of clips, `{{clip model}}`; `{{row
NAME}}` and `{{questions SOURCE}}` are two kinds of rows of mini.json.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

from eval.core.provenance import ROOT

FORMS = {
    "percent": (100, ".1f"),
    "points": (100, "+.1f"),
    "number": (1, ".3f"),
    "difference": (1, "+.3f"),
    "fewer": (1, ".2f"),
}
"""Factor and format of a figure; any other form is a format of Python, for the figure as it is."""
SHARES = re.compile(
    r"^(r1|r5|r10|top1|top5|top1_lacking|none_precision|none_recall|accuracy|pair_accuracy|mean_per_class|text|image|group|rows)$"
)
TEMPLATE, WHOLE, RESULTS, PAGES = (
    ROOT / "eval" / name for name in ("readme_numbers.md", "results_numbers.md", "results", "pages")
)
START, END = "## Numbers\n", "## Your own data\n"
DIRECTIONS = ("image_to_text", "text_to_image")
_PLACE = re.compile(r"\{\{(.+?)\}\}")


def cell(figure: Any, form: str = "number") -> str:
    """A figure: text as it is, a count, a number, or a mean with its interval or its standard deviation.

    Args:
        figure: A number, or `mean` with `low` and `high`, or with `std`; of a saving `times_fewer` is the mean.
        form: A key of `FORMS`, `count` (of a list, its length), or a format of Python.
    """
    if figure is None or isinstance(figure, str):
        return figure or ""
    if form == "count" or (isinstance(figure, int) and form not in ("percent", "points")):
        return f"{figure if isinstance(figure, int) else len(figure):,}"
    factor, spec = FORMS.get(form, (1, form))
    if not isinstance(figure, Mapping):
        return format(factor * figure, spec)
    mean = figure["times_fewer"] if "times_fewer" in figure else figure["mean"]
    if form == "fewer" and mean == 0:
        return "never reaches it"
    text = format(factor * mean, spec)
    if "low" in figure:
        return f"{text} [{factor * figure['low']:{spec}}, {factor * figure['high']:{spec}}]"
    return f"{text} ({factor * figure['std']:{spec}})" if figure.get("std", 0) > 0 else text


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], form: str | Sequence[str] = "number") -> str:
    """A Markdown table; the first column is text, the others are figures.

    Args:
        titles: One for each column.
        rows: Figures as for `cell`.
        form: Of all figures, or of each column but the first.
    """
    forms = [form] * len(titles) if isinstance(form, str) else form
    return "\n".join([header(*titles), *(f"| {cells(row, ['', *forms])} |" for row in rows)])


def filled(name: str, result: Mapping[str, Any], **more: Any) -> str:
    """A page of `eval/pages`.

    Args:
        name: Of the page's file.
        result: What it is about; its keys are names in the page, and it is `result`.
        more: Further names, such as what a task derives from its result.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(PAGES)
    pages = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    pages.filters |= {one.__name__: one for one in (cell, sentence, words, bullets, figures)}
    pages.globals |= {one.__name__: one for one in (header, table, cells)}
    return pages.get_template(name).render(dict(result) | more, result=result).strip()


def header(*titles: str) -> str:
    """The first two lines of a Markdown table; its first column is text, the others are figures."""
    return "| " + " | ".join(titles) + " |\n|" + "|".join(["---"] + ["---:"] * (len(titles) - 1)) + "|"


def cells(figures: Iterable[Any], form: str | Sequence[str] = "number") -> str:
    """Figures as for `cell`, side by side; of one form, or of one each."""
    forms = repeat(form) if isinstance(form, str) else form
    return " | ".join(cell(one, each) for one, each in zip(figures, forms, strict=False))


def bullets(notes: Mapping[str, str]) -> str:
    """Named sentences as a list."""
    return "\n".join(f"- {name}: {text}." for name, text in notes.items())


def origin_line(result: Mapping[str, Any]) -> str:
    """Command, commit, date and hardware."""
    dirty = ", with uncommitted changes" if result.get("uncommitted_changes") else ""
    split = f"{result['split']} set, " if "split" in result else ""
    return (
        f"`{result['command']}`: {split}commit {result['commit'][:12]}{dirty}, {result['date']}, {result['hardware']}."
    )


def figures(result: Mapping[str, Any]) -> str:
    """A column per figure, a row per part; parts with other figures get a table of their own."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for part, named in result["metrics"].items():
        groups.setdefault(tuple(named), []).append(part)
    tables = []
    for names, parts in groups.items():
        rows: list[list[Any]] = [[words(part), *(result["metrics"][part][name] for name in names)] for part in parts]
        for part in parts:
            chance = result.get("chance", {}).get(part, {})
            if chance.keys() & set(names):
                rows.append([f"chance, {words(part)}", *(chance.get(name) for name in names)])
        forms = [_form(result["task"], name) for name in names]
        tables.append(table(["", *map(words, names)], rows, forms))
    return "\n\n".join(tables)


def _form(task: str, name: str) -> str:
    if name.startswith("times fewer"):
        return "fewer"
    every = task in ("text triplets", "image-text pairs", "order")
    return "percent" if SHARES.match(name) or (every and name != "questions") else "number"


def words(name: str) -> str:
    """A key as a title."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[0].upper() + text[1:] + "."


def page(text: str, drawn: Mapping[str, bytes], folded: Mapping[str, str]) -> str:
    """One HTML page with every plot inside it.

    Args:
        text: Markdown of the body.
        drawn: PNG files by the names that the text has.
        folded: Markdown of sections that are opened by a click, by title.
    """
    from markdown_it import MarkdownIt

    render = MarkdownIt("commonmark", {"html": False}).enable("table").render
    body = render(text)
    for title, inside in folded.items():
        body += f"<details><summary>{title}</summary>{render(inside)}</details>\n"
    for name, png in drawn.items():
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{base64.b64encode(png).decode()}"')
    body = re.sub(r'<img src="(?!data:)[^>]*>', "", body)
    return filled("page.html", {}, body=re.sub(r'<a href="[^"]*\.md">(.*?)</a>', r"\1", body)) + "\n"


def write_readme(path: Path, *, results: Path = RESULTS) -> None:
    """Write README's section of numbers anew."""
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(START)], text[text.index(END) :]
    path.write_text(f"{before}{START}\n{numbers(results=results)}\n{after}", encoding="utf-8")


def numbers(*, results: Path = RESULTS, template: Path = TEMPLATE) -> str:
    """A template with the values of results: README's section of numbers, or the page of all results."""
    return _PLACE.sub(lambda found: _value(found[1], results), template.read_text(encoding="utf-8"))


def can_be_filled(template: Path, *, results: Path) -> bool:
    """Whether there is every result that a template names."""
    places = _PLACE.findall(template.read_text(encoding="utf-8"))
    return all((results / f"{place.partition(' > ')[0]}.json").is_file() for place in places if " > " in place)


def _value(place: str, results: Path) -> str:
    kind, _, name = place.partition(" ")
    if kind == "row":
        rows = (_at(results, ["mini", "pooled", "retrieval", source, name]) for source in ("emoji", "photos"))
        return " | ".join(
            ", ".join(" / ".join(cell(row[direction][k], "percent") for k in ("r1", "r5")) for direction in DIRECTIONS)
            for row in rows
        )
    if kind == "cell":
        source, _, row = name.removeprefix("mini ").partition(" ")
        both = _at(results, ["mini", "pooled", "retrieval", source, row])
        return ", ".join(cell(both[direction]["r1"], "percent") for direction in DIRECTIONS)
    if kind in ("accuracy", "blind"):
        row = _at(results, ["mini", "pooled", "questions", name, "accuracy", "all"])
        return cell(row["model" if kind == "accuracy" else "question_only"], "percent")
    if kind == "questions":
        row = _at(results, ["mini", "pooled", "questions", name, "accuracy", "all"])
        return f"{cell(row['model'], 'percent')} (question alone {100 * row['question_only']['mean']:.1f})"
    path, _, form = place.rpartition(" : ")
    return cell(_at(results, path.split(" > ")), form)


def _at(results: Path, keys: Sequence[str]) -> Any:
    value: Any = _loaded(results / f"{keys[0]}.json")
    for key in keys[1:]:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@cache
def _loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
