"""Where a number comes from, without the folders of the machine that it was measured on."""

from __future__ import annotations

import sys

import pytest

from eval.core.provenance import ROOT, origin, shortened


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
