"""The scripts of the mini model's data and weights, and the check of its text-only captions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.mini import build, prepare, ship
from recipes.mini.records import PrepareError, normalise
from tests.unit.recipes.test_mini_data import caption, draw


class TestCommands:
    """What the two scripts say before any work is done."""

    def folders(self, tmp_path: Path) -> list[str]:
        (tmp_path / "photos").mkdir()
        return [str(tmp_path / "out"), "--photos", str(tmp_path / "photos")]

    def test_prepare_wants_the_captions_that_the_recipe_trains_on(self, tmp_path: Path, capsys, monkeypatch) -> None:
        monkeypatch.setattr(build, "unpacked", lambda *_: pytest.fail("fetched first"))
        assert prepare.main(self.folders(tmp_path)) == 2
        said = capsys.readouterr().err
        assert "there is no" in said
        assert "--captions-tsv" in said
        assert not (tmp_path / "out").exists()

    def test_prepare_goes_on_with_captions_beside_the_photos(self, tmp_path: Path, capsys, monkeypatch) -> None:
        def stop(*_: object) -> None:
            raise PrepareError("reached the packages")

        monkeypatch.setattr(build, "unpacked", stop)
        words = self.folders(tmp_path)
        (tmp_path / "coco_captions_val2017.tsv").write_text("1\ta cat\n", encoding="utf-8")
        assert prepare.main(words) == 2
        assert "reached the packages" in capsys.readouterr().err

    def test_prepare_names_the_extra_that_has_imagehash(self, tmp_path: Path, capsys, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "imagehash", None)
        assert prepare.main(self.folders(tmp_path)) == 2
        assert 'pip install ".[eval]"' in capsys.readouterr().err

    @pytest.mark.parametrize("script", ["prepare", "ship"])
    def test_a_script_runs_from_anywhere_and_shows_its_usage(self, script: str, tmp_path: Path) -> None:
        path = Path(build.__file__).with_name(f"{script}.py")
        done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage:")

    def test_ship_names_a_folder_that_is_not_there(self, tmp_path: Path, capsys, monkeypatch) -> None:
        monkeypatch.setattr(ship, "SHIPPED", tmp_path / "shipped")
        assert ship.main([str(tmp_path / "absent")]) == 2
        assert "there is no folder" in capsys.readouterr().err
        assert not (tmp_path / "shipped").exists()


class TestTextOnly:
    @pytest.mark.parametrize(
        ("row", "found"),
        [
            ({"text": ["a dog", "it runs"], "source_id": "coco:1"}, []),
            ({"text": ["a dog", "A cat sits."], "source_id": "coco:1"}, ["coco:1: 'A cat sits.'"]),
            ({"text": ["a dog", "Red Apple"], "source_id": "coco:1"}, ["coco:1: 'Red Apple'"]),
            ({"text": ["a dog", "it runs"], "source_id": "coco:2"}, ["coco:2: held out"]),
        ],
    )
    def test_a_planted_text_or_photo_is_a_violation(self, tmp_path: Path, row: dict[str, object], found: list) -> None:
        held = caption(2, "a cat sits")
        held["source_id"] = "coco:2"
        rows = {"train": [], "validation": [], "test": [held]}
        built = build.Built(captions={"photos": rows}, held_out_texts={normalise("red apple"): "red apple"})
        request = build.Request(
            out=tmp_path, photos=tmp_path, downloads=tmp_path, captions_tsv=tmp_path / "c.tsv", seed=0
        )
        draw(tmp_path / "photos" / held["image"], 1)
        (tmp_path / "text").mkdir()
        (tmp_path / build.TEXT_ONLY).write_text(json.dumps(row) + "\n", encoding="utf-8")
        report = build.check_overlap(request, built)
        assert report["texts"] == found
        assert report["violations"] == len(found)
