"""Official files of comparisons and streams, and files that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.eval.seer import COLOURS, measure_suite, paint, write_json, write_lines
from tests.unit.eval.test_official_files import examined, share, video
from vljepa.errors import DataError


class TestComparisons:
    def test_sugarcrepe(self, tmp_path: Path) -> None:
        paint(tmp_path / "val2017" / "000000085329.jpg", "red")
        right = {"filename": "000000085329.jpg", "caption": "a red cat", "negative_caption": "a blue cat"}
        wrong = {"filename": "000000085329.jpg", "caption": "a blue cat", "negative_caption": "a red cat"}
        for kind in ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att"):
            write_json(tmp_path / f"{kind}.json", {"0": right, "1": right})
        write_json(tmp_path / "swap_obj.json", {"0": wrong})
        found = measure_suite("sugarcrepe", tmp_path)
        metrics = found["metrics"]["model"]
        assert examined(found) == (["000000085329.jpg"], 2)
        assert (metrics["add_att"], metrics["swap_obj"]) == (1.0, 0.0)
        assert metrics["macro"] == pytest.approx(6 / 7)
        assert share(metrics["rows"]) == pytest.approx(12 / 13)

    def test_winoground(self, tmp_path: Path) -> None:
        for number, colour in enumerate(("red", "blue", "green", "green")):
            paint(tmp_path / "images" / f"ex_{number // 2}_img_{number % 2}.png", colour)
        rows = [
            {"id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "red", "caption_1": "blue",
             "tag": "Adjective", "secondary_tag": "", "num_main_preds": 1, "collapsed_tag": "Object"},
            {"id": 1, "image_0": "ex_1_img_0", "image_1": "ex_1_img_1", "caption_0": "green", "caption_1": "dark",
             "tag": "Adjective", "secondary_tag": "", "num_main_preds": 1, "collapsed_tag": "Object"},
        ]  # fmt: skip
        write_lines(tmp_path / "data" / "examples.jsonl", rows)
        found = measure_suite("winoground", tmp_path)
        metrics = found["metrics"]["model"]
        assert examined(found) == ([f"ex_{n}_img_{side}.png" for n in range(2) for side in range(2)], 4)
        assert {part: share(metrics[part]) for part in metrics} == {"text": 0.5, "image": 0.5, "group": 0.5}

    def test_worldprediction(self, tmp_path: Path) -> None:
        media = tmp_path / "media"
        for colour in COLOURS:
            paint(media / f"{colour}.png", colour)
            video(media / f"{colour}.mp4", colour)
        video(media / "both.mp4", "red", "green")
        row = {"initial": "red.png", "final": "green.png",
               "candidates": ["red.mp4", "both.mp4", "blue.mp4", "green.mp4"]}  # fmt: skip
        write_lines(tmp_path / "rows.jsonl", [row | {"answer": 1}, row | {"answer": 2}])
        found = measure_suite("worldprediction", tmp_path, frames=4)
        assert share(found["metrics"]["model"]["accuracy"]) == 0.5
        assert found["chance"]["model"]["accuracy"] == 0.25
        names = ["blue.mp4", "both.mp4", "green.mp4", "green.png", "red.mp4", "red.png"]
        assert examined(found) == (names, 0)


def test_streams(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", "red", "green", *["blue"] * 7)
    video(tmp_path / "b.mp4", *["blue"] * 7, "red")
    notes = [("a.mp4", 0.5, "a red thing"), ("a.mp4", 1.5, "a green thing"), ("a.mp4", 5.5, "a blue thing"),
             ("b.mp4", 3.5, "one blue thing"), ("b.mp4", 7.5, "one red thing")]  # fmt: skip
    write_lines(tmp_path / "rows.jsonl", [{"video": name, "t": t, "text": text} for name, t, text in notes])
    found = measure_suite("own_streams", tmp_path, rates=[4.0, 1.0, 0.34, 0.12])
    assert found["pool"] == [{"videos": 2, "annotations": 5}]
    assert examined(found) == (["a.mp4", "b.mp4"], 5)
    metrics = found["metrics"]
    fewer = {name: one["times fewer, like for like"]["times_fewer"] for name, one in metrics.items() if "," in name}
    assert fewer["uniform, exact"] == fewer["uniform, mean"] == 1.0
    assert fewer["adaptive, exact"] > 1.5
    assert metrics["online two_window"]["rate"] < 0.6
    blind = measure_suite("own_streams", tmp_path, blind=True, rates=[4.0, 1.0, 0.34])["metrics"]
    assert blind["adaptive, exact"]["cider_d at 1 Hz"] < 0.6 * metrics["adaptive, exact"]["cider_d at 1 Hz"]


class TestWrongFiles:
    def test_sugarcrepe_is_not_sugarcrepe_pp(self, tmp_path: Path) -> None:
        for kind in ("replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj"):
            write_json(tmp_path / f"{kind}.json", {"0": {"filename": "1.jpg"}})
        with pytest.raises(DataError, match=r"replace_att\.json.*not a JSON list.*Sri-Harsha/scpp.*CC BY 4\.0"):
            measure_suite("sugarcrepe_pp", tmp_path)

    @pytest.mark.parametrize(
        ("suite", "name", "content", "why"),
        [
            ("tallyqa", "test.json", [{"image": "1.jpg", "question": "?"}], "row 0 has no 'answer'"),
            ("tallyqa", "test.json", {"questions": []}, "not a JSON list"),
            ("popev2", "annotations.json", [{"image_name": "a.jpg", "label": "maybe"}], "label 'maybe'"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, suite: str, name: str, content: Any, why: str) -> None:
        write_json(tmp_path / name, content)
        with pytest.raises(DataError, match=f"{why}.*licence"):
            measure_suite(suite, tmp_path)

    def test_lines_that_are_no_json_are_named_with_their_source(self, tmp_path: Path) -> None:
        (tmp_path / "val2014").mkdir()
        for kind in ("random", "popular", "adversarial"):
            (tmp_path / f"coco_pope_{kind}.json").write_text("[1]\n")
        with pytest.raises(DataError, match=r"coco_pope_random\.json.*row 1.*AoiDragon/POPE"):
            measure_suite("pope", tmp_path)

    def test_an_image_outside_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        row = {"image": "../secret.png", "query": "?", "text": "a", "candidates": ["a", "b"]}
        write_lines(tmp_path / "test.jsonl", [row])
        with pytest.raises(DataError, match="outside the root"):
            measure_suite("own_questions", tmp_path)
