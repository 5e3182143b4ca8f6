"""Where a number comes from, without the folders of the machine that it was measured on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eval.core.provenance import ROOT, data_digest, data_of, origin, shortened


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("--data", "--data"),
        ("data/mini", "data/mini"),
        (str(ROOT / "eval" / "results" / "mini.json"), "eval/results/mini.json"),
        ("/somewhere/else/photos", "PATH/TO/photos"),
        ("scratch=/somewhere/runs/best", "scratch=PATH/TO/best"),
        ("train.seed=1", "train.seed=1"),
    ],
)
def test_paths_of_this_machine_are_shortened(argument: str, shown: str) -> None:
    assert shortened(argument) == shown


def test_the_command_is_one_that_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "mini", "--data", "/a b/c d", "seeds=[0]"])
    assert origin()["command"] == "python eval/run.py mini --data 'PATH/TO/c d' 'seeds=[0]'"


def test_prepared_data_are_the_same_wherever_they_are_and_other_rows_are_not(tmp_path: Path) -> None:
    for name, text in (("one", "a cat"), ("moved", "a cat"), ("changed", "a dog")):
        (tmp_path / name / "photos").mkdir(parents=True)
        (tmp_path / name / "summary.json").write_text('{"split_seed": 0}')
        (tmp_path / name / "photos" / "captions.train.jsonl").write_text(f'{{"text": "{text}"}}\n')
    one, moved, changed = (data_digest(tmp_path / name) for name in ("one", "moved", "changed"))
    assert one == moved != changed
    assert data_of(tmp_path / "one") != data_of(tmp_path / "moved"), "a result does say where they were"
