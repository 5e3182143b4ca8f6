"""`vljepa export`: where it writes."""

from __future__ import annotations

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
