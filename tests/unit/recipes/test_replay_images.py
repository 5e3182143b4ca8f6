"""The images that mini brings along: those of its training, small, and with their licences."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from recipes.mini import replay
from tests.conftest import write_rows


def prepared(folder: Path) -> Path:
    for source, style, _, _ in replay.SOURCES:
        (folder / source / "images").mkdir(parents=True)
        rows = []
        for number in range(5):
            name = f"images/{number}.png"
            Image.new("RGBA", (300, 400), (250, 0, 0, 255) if number else (0, 0, 0, 0)).save(folder / source / name)
            other = "twitter" if number == 4 else style
            rows.append(
                {"image": name, "style": other, "source_id": f"{source}:{number}", "license": "CC0", "text": ["x"]}
            )
        write_rows(folder / source / "captions.train.jsonl", rows)
    said = [{"text": ["a cat", "a  black\ncat"], "source_id": "coco:1"}, {"text": ["a cat"], "source_id": "coco:2"}]
    (folder / "text").mkdir()
    write_rows(folder / "text" / "captions.train.jsonl", said)
    return folder


def test_small_images_of_the_training_with_licences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SOURCES", tuple((*one[:2], 3, one[3]) for one in replay.SOURCES))
    assert replay.main([str(prepared(tmp_path)), "--out", str(tmp_path / "replay.parquet")]) == 0
    assert (tmp_path / "captions.txt").read_text() == "a cat\na black cat\n", "each once, in one line"
    rows = pq.read_table(tmp_path / "replay.parquet").to_pylist()
    assert [row["source_id"].split(":")[0] for row in rows] == ["emoji"] * 3 + ["clipart"] * 3 + ["photos"] * 3
    assert {row["license"] for row in rows} == {"CC0"}
    assert not any(row["source_id"].endswith(":4") for row in rows), "of another style"
    for row, side in zip(rows[::3], (96, 128, 224), strict=True):
        image = Image.open(io.BytesIO(row["image"]))
        assert (image.format, image.mode) == ("WEBP", "RGB")
        assert image.size == (side, round(side * 4 / 3))
    clear = [row for row in rows if row["source_id"].endswith(":0")]
    assert clear
    for row in clear:
        assert Image.open(io.BytesIO(row["image"])).getpixel((9, 9)) == (255, 255, 255), "on white, not on black"


def test_the_shipped_table_holds_what_may_be_shipped() -> None:
    rows = pq.read_table(replay.SHIPPED / replay.REPLAY_FILE, columns=["source_id", "license"]).to_pylist()
    assert len(rows) == 595 == len({row["source_id"] for row in rows})
    allowed = {"public domain", "Apache-2.0", "CC BY 2.0", "CC BY-SA 2.0", "No known copyright restrictions"}
    assert {row["license"] for row in rows} <= allowed
    attributed = (replay.SHIPPED / "ATTRIBUTION.md").read_text(encoding="utf-8")
    photos = [row["source_id"].removeprefix("coco:") for row in rows if row["source_id"].startswith("coco:")]
    assert len(photos) == 83
    assert [one for one in photos if f"| {one} |" not in attributed] == []
