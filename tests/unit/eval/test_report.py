"""Tables, plots and the page of the suites' results; README's numbers, which are written from the results."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from eval import registry, report
from eval.core.provenance import ROOT
from eval.core.render import END, START, TEMPLATE, WHOLE, cell, numbers, table, write_readme
from tests.unit.eval.seer import write_json

LOOKED = {
    "looked_at": True, "note": "split by concept", "exact": 1, "near": 2, "text": 3,
    "test": {"images": 8, "texts": 9}, "unreadable": {"test": 0, "train": 4},
    "train": {"images": 1000, "texts": 2000, "files": ["a.jsonl"], "lacking": ["b.jsonl"], "origin": "a recipe"},
}  # fmt: skip
FIGURE = {"mean": 0.5, "low": 0.25, "high": 0.75, "items": 8}


def result(name: str, task: str, metrics: dict[str, Any], chance: dict[str, Any]) -> dict[str, Any]:
    return {
        "suite": name, "task": task, "title": f"Title of {name}", "protocol": "as it should be", "metrics": metrics,
        "chance": chance, "source": "somewhere", "version": "2", "licence": "MIT", "split": "test",
        "pool": [{"items": 8}], "rows": 8, "rows_expected": 1000, "candidates": ["a", "b"], "prompt": "", "frames": 1,
        "seed": 0, "ties": "against", "command": f"python eval/run.py {name}", "commit": "0123456789abcdef",
        "uncommitted_changes": True, "date": "2026-11-25", "hardware": "a CPU", "versions": {"python": "3.11"},
        "model": {"name": "mini", "sha256": "feed"}, "data": {}, "key": {"data": "f00d"}, "overlap": LOOKED,
        "skipped": {"count": 3, "first": {}}, "seconds": 7.0,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ways = {way: {"r1": FIGURE, "r5": FIGURE, "median_rank": 2.0} for way in ("image_to_text", "text_to_image")}
    chance = {way: {"r1": 0.125, "r5": 0.5} for way in ways}
    write_json(tmp_path / "images.json", result("images", "retrieval", ways, chance))
    answers = {"all": {"accuracy": FIGURE, "questions": 8}}
    write_json(tmp_path / "asked.json", result("asked", "questions", answers, {"all": {"accuracy": 0.1}}))
    hits = {"a": 0.5, "macro": 0.5, "rows": FIGURE}
    texts = {"model": hits, "untouched Y-Encoder": hits, "model minus untouched": {"rows": FIGURE}}
    write_json(tmp_path / "texts.json", result("texts", "text triplets", texts, {"model": {"rows": 1 / 3}}))
    write_json(tmp_path / "other.json", {"task": "words", "suite": "other", "metrics": {}})
    return tmp_path


def test_tables_say_all_that_a_number_has_to_say(folder: Path) -> None:
    text = report.documents(folder, only=["evaluation"])[0]["evaluation"]
    assert "| image to text | 50.0 [25.0, 75.0] | 50.0 [25.0, 75.0] | 2.000 |" in text
    assert "| chance, image to text | 12.5 | 50.0 |  |" in text
    said = ["`python eval/run.py asked`", "8 rows, where the official files have 1,000", "left out: 3", "a CPU"]
    said += ["0123456789ab, with uncommitted changes", "licence: MIT", "Candidates (2): a, b"]
    said += [
        "of 8 test images 1 are equal to one of training and 2 more are near duplicates (perceptual hash); of 9 "
        "test texts"
    ]
    said += ["with 1,000 images and 2,000 texts of a.jsonl (a recipe, without b.jsonl); 4 images could not be read"]
    assert not [one for one in said if one not in text]
    assert text.isascii()


def test_the_command_writes_tables_plots_and_one_page_with_all_inside(folder: Path) -> None:
    out = folder / "docs"
    out.mkdir()
    page = out / "page.html"
    asked = ["--results", str(folder), "--docs", str(out), "--html", str(page)]
    assert report.main(asked) == 0
    for name in report.PLOTS:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in (out / "evaluation.md").read_text()
    html = page.read_text()
    found: list[tuple[str, str]] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((tag, value or "") for name, value in attrs if name in ("src", "href"))

    Links().feed(html)
    assert len(found) == 3
    assert all(value.startswith("data:image/png;base64,") for _, value in found)
    assert "<table>" in html


def test_without_results_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--results", str(tmp_path), "--docs", str(tmp_path)]) == 2
    assert "python eval/run.py all" in " ".join(capsys.readouterr().err.split())


def test_every_result_of_a_study_has_its_page_and_plots(tmp_path: Path) -> None:
    """One renderer writes docs/ from the stored results, and the page has all of it inside."""
    results = ROOT / "eval" / "results"
    assert report.main(["--results", str(results), "--docs", str(tmp_path), "--html", str(tmp_path / "p.html")]) == 0
    for name, (title, _, _) in registry.DOCUMENTS.items():
        text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {title}\n")
        assert text.isascii()
        assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == text, "run eval/report.py --docs docs"
    for name in ("mini_retrieval", "selective", "comparison", "ablations"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count("<details>") == len(registry.DOCUMENTS) + 1, "and the page of all results"
    whole = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == whole, "run eval/report.py --docs docs"
    assert page.count("data:image/png;base64,") == 9


@pytest.mark.parametrize(
    ("figure", "form", "shown"),
    [
        (1234, "number", "1,234"),
        ([1, 2], "count", "2"),
        (0.1234, "percent", "12.3"),
        (0.5, ".0%", "50%"),
        (FIGURE, "percent", "50.0 [25.0, 75.0]"),
        (FIGURE, "difference", "+0.500 [+0.250, +0.750]"),
        ({"mean": 0.5, "std": 0.01}, "percent", "50.0 (1.0)"),
        ({"mean": 0.5, "std": 0.0}, "percent", "50.0"),
        ({"times_fewer": 0.0, "low": 0.0, "high": 0.0}, "fewer", "never reaches it"),
        ({"times_fewer": 4.126, "low": 4.0, "high": 5.0}, "fewer", "4.13 [4.00, 5.00]"),
        ("text", "percent", "text"),
        (None, "number", ""),
    ],
)
def test_one_formatter_knows_every_kind_of_figure(figure: Any, form: str, shown: str) -> None:
    assert cell(figure, form) == shown


def test_table_is_markdown() -> None:
    assert (
        table(["a", "b", "c"], [["x", 1, 0.5]], ["count", "percent"])
        == "| a | b | c |\n|---|---:|---:|\n| x | 1 | 50.0 |"
    )


def test_every_stored_result_says_what_of_its_test_is_in_training_or_that_nobody_has_looked() -> None:
    results = report.read_results(ROOT / "eval" / "results")
    counted = [one["overlap"] for one in results if one["overlap"]["looked_at"]]
    assert len(counted) >= 10
    for overlap in counted:
        assert overlap["train"]["images"] > 9000
        for what, counts in (("images", ("exact", "near")), ("texts", ("text",))):
            assert 0 <= sum(overlap[count] for count in counts) <= overlap["test"][what]
    assert all(one["overlap"]["why"] for one in results if not one["overlap"]["looked_at"])


def test_every_number_of_the_readme_is_that_of_a_result() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index(START) + len(START) : text.index(END)]
    assert section.strip() == numbers().strip(), "run `python eval/report.py --readme README.md`"


NOT_MEASURED = {"1.5", "4.3"}
"""Seconds of delay and millions of parameters."""


@pytest.mark.parametrize("template", [TEMPLATE, WHOLE], ids=["readme", "results"])
def test_no_number_of_the_readme_is_written_by_hand(template: Path) -> None:
    by_hand = re.sub(r"\{\{.+?\}\}", "", template.read_text(encoding="utf-8"))
    assert set(re.findall(r"\d+\.\d+|\d+(?=%)", by_hand)) - {"95"} <= NOT_MEASURED


def test_another_result_gives_another_readme(tmp_path: Path) -> None:
    """The control: a changed result is noticed, and written."""
    for path in (ROOT / "eval" / "results").glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    captions = json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))
    captions["images"]["photos"]["rows"]["scratch"]["cider"] = 0.123456
    write_json(tmp_path / "captions.json", captions)
    assert numbers(results=tmp_path) != numbers()
    readme = tmp_path / "README.md"
    readme.write_text(f"# A\n{START}old\n{END}rest\n", encoding="utf-8")
    write_readme(readme, results=tmp_path)
    written = readme.read_text(encoding="utf-8")
    assert "CIDEr-D | 0.123 |" in written
    assert "old" not in written
    assert written.startswith("# A\n")
    assert written.endswith(f"{END}rest\n")
