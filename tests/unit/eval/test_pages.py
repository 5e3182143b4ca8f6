"""Pages are templates of what a result has, and named notes of how a task measures belong to its suites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jinja2 import UndefinedError

from eval import registry
from eval.core.render import PAGES, cells, filled, header, table
from eval.core.suite import PROTOCOLS, read_suite, suite_names

RESULTS = Path(__file__).parents[3] / "eval" / "results"


def test_a_page_does_not_hide_that_a_figure_is_missing() -> None:
    result = json.loads((RESULTS / "segments.json").read_text())
    whole = filled("segments.md", result)
    assert f"{result['photos']} photos" in whole
    with pytest.raises(UndefinedError, match="photos"):
        filled("segments.md", {name: value for name, value in result.items() if name != "photos"})


def test_every_page_belongs_to_a_task_or_is_one_of_the_two_of_all() -> None:
    names = {path.stem for path in PAGES.glob("*.md")}
    assert names <= {name.replace(" ", "_") for name in registry.TASKS} | {"evaluation"}
    assert {task.replace(" ", "_") for _, task, _ in registry.DOCUMENTS.values()} <= names


def test_a_suite_has_its_tasks_notes_and_its_own_beside_them() -> None:
    notes = yaml.safe_load(PROTOCOLS.read_text(encoding="utf-8"))
    assert notes.keys() <= registry.TASKS.keys()
    for suite in map(read_suite, suite_names()):
        if suite.task in notes:
            assert isinstance(suite.protocol, dict)
            assert notes[suite.task].items() <= suite.protocol.items()
        else:
            assert isinstance(suite.protocol, str)
            assert suite.protocol
    whole, folded = read_suite("answer_prior_captions").protocol, read_suite("answer_prior_captions_folds").protocol
    assert set(folded) - set(whole) == {"folds"}


def test_a_table_is_its_head_and_its_cells() -> None:
    figures = [{"mean": 0.5, "low": 0.25, "high": 0.75}, None, 3]
    assert cells(figures, "percent") == "50.0 [25.0, 75.0] |  | 300.0"
    shown = table(["", "one", "none", "count"], [["row", *figures]], ["percent", "percent", "count"])
    assert shown == f"{header('', 'one', 'none', 'count')}\n| row | 50.0 [25.0, 75.0] |  | 3 |"
    assert header("a", "b") == "| a | b |\n|---|---:|"
