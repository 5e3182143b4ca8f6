"""`vljepa export`: where it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vljepa.cli.main import main


@pytest.mark.parametrize(("made", "message"), [("file", "is a file"), ("folder", "is not empty")])
def test_what_is_there_already_is_left_as_it_is(
    made: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    inside = target if made == "file" else target / "mine.txt"
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("mine")
    assert main(["export", "mini", str(target)]) != 0
    said = capsys.readouterr().err
    assert message in said
    assert "Fix: name a new folder." in said
    assert inside.read_text() == "mine"


@pytest.mark.parametrize("form", ["npy", "qdrant"])
def test_the_rows_of_an_index_go_out_and_come_back(run, fails, toy, images, form) -> None:
    run("index", "images", "-o", "p.index", "--model", toy)
    err = run("export", "p.index", "out", "--format", form)[2]
    assert err == "2 rows of 24 numbers written: out\n"
    assert run("index", "out", "-o", "again.index", "--model", toy)[1] == "2 images in again.index\n"
    first, second = (run("search", name, "red", "--model", toy, "--json")[1] for name in ("p.index", "again.index"))
    assert [hit["path"] for hit in json.loads(first)["hits"]] == [hit["path"] for hit in json.loads(second)["hits"]]
    assert "is no index, and this is --format" in fails("export", toy, "other", "--format", form)
    assert "is an index, not a model" in fails("export", "p.index", "other")
    assert "are for models" in fails("export", "p.index", "other", "--format", form, "--merge")
