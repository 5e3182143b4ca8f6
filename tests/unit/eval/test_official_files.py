"""Files of the exact official formats, two or three rows each, against a model whose right answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.tasks.questions import SCORINGS
from eval.tasks.questions_files import COUNTS, Question
from tests.unit.eval.seer import COLOURS, measure_suite, paint, write_json, write_lines
from tests.videos import write_video
from vljepa.configs import CalibrationConfig, OpenSetConfig
from vljepa.data.records import Clip


def video(path: Path, *colours: str) -> str:
    """Ten frames of each colour, at 10 frames per second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(
        path,
        count=10 * len(colours),
        make=lambda number, size: Image.new("RGB", size, COLOURS[colours[number // 10]]),
    )
    return path.name


def share(figure: Any) -> float:
    return float(figure["mean"]) if isinstance(figure, dict) else float(figure)


def examined(found: dict[str, Any]) -> tuple[list[str], int]:
    """What is looked for in the training data: names of the images and videos, and how many texts."""
    records = found["examined"]
    seen = {Path(one.image.path if isinstance(one.image, Clip) else one.image).name for one in records if one.image}
    return sorted(seen), len({(one.query, text) for one in records for text in one.texts})


class TestRetrieval:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl"])
    def test_items_and_texts(self, tmp_path: Path, suffix: str) -> None:
        rows = [{"image": paint(tmp_path / f"{one}.png", one), "text": f"a {one} cat"} for one in COLOURS]
        rows.append({"image": "red.png", "text": "a red dog"})
        if suffix == "jsonl":
            write_lines(tmp_path / "test.jsonl", rows)
        else:
            lines = ["image,text", *(f"{row['image']},{row['text']}" for row in rows)]
            (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
        found = measure_suite("own_retrieval", tmp_path)
        assert found["pool"] == [{"items": 3, "texts": 4}]
        assert examined(found) == (["blue.png", "green.png", "red.png"], 4)
        assert {share(found["metrics"][way]["r1"]) for way in found["metrics"]} == {1.0}
        blind = measure_suite("own_retrieval", tmp_path, blind=True)
        assert {share(blind["metrics"][way]["r1"]) for way in blind["metrics"]} == {0.0}

    def test_pools_and_what_the_bootstrap_draws(self, tmp_path: Path) -> None:
        rows = [
            {"item": paint(tmp_path / "emoji" / f"{one}{style}.png", one), "text": [f"a {one} cat", "a dog"]}
            | {"style": style, "concept": one}
            for one in COLOURS
            for style in "xy"
        ]
        write_lines(tmp_path / "emoji" / "captions.test.jsonl", rows)
        found = measure_suite("mini_emoji", tmp_path, item="item", pool="style", about="concept", first_text=True)
        assert found["pool"] == [{"items": 3, "texts": 3}] * 2
        assert examined(found)[1] == 3, "only the first text of each is asked"
        assert found["metrics"]["image_to_text"]["r1"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "items": 3}

    def test_coco_annotations(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("eval.tasks.captions.meteor_is_there", lambda: False)  # it takes half a minute to start
        paint(tmp_path / "val2017" / "000000000009.jpg", "blue")
        paint(tmp_path / "val2017" / "000000000025.jpg", "green")
        content = {
            "images": [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 25, "file_name": "000000000025.jpg"}],
            "annotations": [
                {"image_id": 9, "id": 1, "caption": "A blue boat."},
                {"image_id": 25, "id": 2, "caption": "A green field."},
                {"image_id": 9, "id": 3, "caption": "Something blue."},
            ],
        }
        write_json(tmp_path / "captions_val2017.json", content)
        found = measure_suite("coco_retrieval", tmp_path)
        assert found["pool"] == [{"items": 2, "texts": 3}]
        assert share(found["metrics"]["text_to_image"]["r1"]) == 1.0
        said = measure_suite("coco_captions", tmp_path)
        assert said["predictions"] == [
            {"image_id": 9, "caption": "a blue thing"},
            {"image_id": 25, "caption": "a green thing"},
        ]
        assert examined(said) == (["000000000009.jpg", "000000000025.jpg"], 3)
        assert share(said["metrics"]["model"]["cider_d"]) > share(said["metrics"]["swapped"]["cider_d"])

    def test_msrvtt_with_a_video_that_cannot_be_read(self, tmp_path: Path) -> None:
        for number, colour in enumerate(COLOURS):
            video(tmp_path / "videos" / f"video70{number}.mp4", colour)
        (tmp_path / "videos" / "video79.mp4").write_bytes(b"no video")
        rows = ["key,vid_key,video_id,sentence"]
        rows += [f"ret{n},msr70{n},video70{n},a {one} car drives" for n, one in enumerate(COLOURS)]
        rows.append("ret9,msr79,video79,a man talks")
        (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(rows) + "\n")
        found = measure_suite("msrvtt", tmp_path, frames=3)
        assert found["pool"] == [{"items": 3, "texts": 3}]
        assert found["skipped"]["count"] == 1
        assert examined(found) == (["video700.mp4", "video701.mp4", "video702.mp4", "video79.mp4"], 4)
        assert all(isinstance(one.image, Clip) for one in found["examined"])
        assert "video79.mp4" in next(iter(found["skipped"]["first"]))
        assert share(found["metrics"]["text_to_image"]["r1"]) == 1.0

    def test_each_caption_of_msvd_is_a_query_and_didemo_s_are_one_paragraph(self, tmp_path: Path) -> None:
        for name, colour in (("a.avi", "red"), ("b.avi", "green")):
            video(tmp_path / "videos" / name, colour)
        rows = ["video_id,sentence", "a,a red bus", "a,something red", "b,a green hill", "b,green grass"]
        (tmp_path / "test.csv").write_text("\n".join(rows) + "\n")
        assert measure_suite("msvd", tmp_path, frames=2)["pool"] == [{"items": 2, "texts": 4}]
        joined = measure_suite("didemo", tmp_path, frames=2, name="{}.avi")
        assert joined["pool"] == [{"items": 2, "texts": 2}]


class TestClasses:
    def test_a_folder_per_class_and_a_table(self, tmp_path: Path) -> None:
        for colour in COLOURS:
            paint(tmp_path / "classes" / colour / "1.png", colour)
        paint(tmp_path / "classes" / "red" / "2.png", "blue")
        result = measure_suite("own_classes", tmp_path)
        found = result["metrics"]["all"]
        assert (len(result["examined"]), examined(result)[1]) == (4, 0), "names of classes are shared by design"
        assert share(found["top1"]) == 0.75
        assert found["mean_per_class"] == pytest.approx((0.5 + 1 + 1) / 3)
        rows = ["image,text", "classes/red/1.png,red", "classes/blue/1.png,blue"]
        (tmp_path / "test.csv").write_text("\n".join(rows) + "\n")
        table = measure_suite("own_classes", tmp_path, templates=["a {} thing", "{}"])
        assert share(table["metrics"]["all"]["top1"]) == 1.0
        assert table["candidates"] == {"count": 2, "list": ["blue", "red"]}
        assert list(table["metrics"]) == ["all", "cosines alone", "2 candidates"]
        assert share(table["metrics"]["cosines alone"]["top1"]) == 1.0
        assert share(table["metrics"]["cosines alone"]["top1_lacking"]) == 0.0, "a model without a classifier"

    def test_calibration_by_the_number_of_candidates(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first of several names counts; more candidates that no image shows make the model less sure."""
        rows = [{"image": paint(tmp_path / f"{one}.png", one), "names": [f"{one} thing", one]} for one in COLOURS]
        write_lines(tmp_path / "photos.jsonl", rows)
        monkeypatch.setattr(
            "vljepa.methods.vision_language.label_prior.label_names",
            lambda config: ["red thing, red", *(f"{number % 16} thing, {number}" for number in range(13))],
        )
        found = measure_suite("named_photos", tmp_path)
        assert (found["pool"], found["candidates"]["count"]) == ([{"items": 3, "classes": 3, "candidates": 16}], 16)
        metrics = found["metrics"]
        assert list(metrics) == ["all", "cosines alone", "2 candidates", "10 candidates", "16 candidates"]
        drawn = [one for name, one in metrics.items() if name.endswith(" candidates")]
        assert {one["accuracy"] for one in drawn} == {1.0}
        assert not [name for one in drawn for name in one if name.startswith("none")], "it is not calibrated for that"
        sure = [one["mean_confidence"] for one in drawn]
        assert sure == sorted(sure, reverse=True)
        for one in (metrics["2 candidates"], metrics["16 candidates"]):
            assert one["calibration_error"] == pytest.approx(1 - one["mean_confidence"])
        assert metrics["16 candidates"]["calibration_error"] == pytest.approx(metrics["all"]["calibration_error"])

    def test_none_of_the_candidates(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the right name the cosine is 1, without it 0; a model that is too shy says none of each."""
        rows = [{"image": paint(tmp_path / f"{one}.png", one), "names": [f"{one} thing"]} for one in COLOURS]
        write_lines(tmp_path / "photos.jsonl", rows)
        for bias, (precision, recall) in {-5.0: (1.0, 1.0), -20.0: (0.5, 1.0)}.items():
            calibrated = CalibrationConfig(classify=0.1, open_set=OpenSetConfig(bias=bias, cosine=10.0))
            monkeypatch.setattr("tests.unit.eval.seer.CalibrationConfig", lambda one=calibrated, **_: one)
            among = measure_suite("named_photos", tmp_path, others="")["metrics"]["2 candidates"]
            assert among["none_auroc"] == 1.0
            assert (among["none_precision"], among["none_recall"]) == (precision, recall)

    def test_videos(self, tmp_path: Path) -> None:
        for colour in COLOURS:
            video(tmp_path / "classes" / colour / "1.mp4", colour)
        found = measure_suite("own_videos", tmp_path, frames=2)
        assert (found["frames"], share(found["metrics"]["all"]["top1"])) == (2, 1.0)


class TestQuestions:
    def test_closed(self, tmp_path: Path) -> None:
        row = {"image": paint(tmp_path / "a.png", "red"), "query": "which colour?", "candidates": list(COLOURS)}
        write_lines(tmp_path / "test.jsonl", [row | {"text": ["red"]}, row | {"text": "blue"}])
        found = measure_suite("own_questions", tmp_path)
        assert share(found["metrics"]["all"]["accuracy"]) == 0.5
        assert found["candidates"]["list"] == list(COLOURS)
        assert examined(found) == (["a.png"], 2)

    def test_the_validation_file_of_a_recipe_is_measured_as_it_is(self, tmp_path: Path) -> None:
        """`recipes/lora_vqa.yaml` asks for these columns, and for the candidates as a JSON list."""
        paint(tmp_path / "a.png", "red")
        rows = ["image,query,text,candidates", 'a.png,which colour?,red,"[""red"", ""blue""]"',
                'a.png,Is there blue?,yes,"[""yes"", ""no""]"']  # fmt: skip
        (tmp_path / "test.csv").write_text("\n".join(rows) + "\n")
        found = measure_suite("own_questions", tmp_path)
        assert share(found["metrics"]["all"]["accuracy"]) == 0.5
        assert found["candidates"] == {"own_list_per_row_of": [2]}

    def test_pope_s_interval_is_of_answers_as_they_are_read(self, tmp_path: Path) -> None:
        """ "Yes, there is." is a yes for the official script: then for the interval too."""
        questions = [Question(Path(f"{n}.jpg"), "?", ("yes" if n % 2 else "no",), ("yes", "no"), "random", f"p{n}")
                     for n in range(40)]  # fmt: skip
        said = ["Yes, there is." if one.answers[0] == "yes" else "No." for one in questions]
        found = SCORINGS["pope"](questions, said)["random"]
        for name in ("accuracy", "f1"):
            assert (found[name]["low"], found[name]["mean"], found[name]["high"]) == (1.0, 1.0, 1.0)
        assert SCORINGS["popev2"](questions, said)["all"]["accuracy"]["mean"] == 1.0

    def test_a_tie_is_wrong_in_every_format(self, tmp_path: Path) -> None:
        row = {"image": paint(tmp_path / "a.png", "red"), "query": "which colour?", "candidates": list(COLOURS)}
        write_lines(tmp_path / "test.jsonl", [row | {"text": one} for one in COLOURS])
        found = measure_suite("own_questions", tmp_path, blind=True)
        assert (found["ties"], share(found["metrics"]["all"]["accuracy"])) == (3, 0.0)
        self.write_pope(tmp_path)
        blind = measure_suite("pope", tmp_path, blind=True)
        assert share(blind["metrics"]["mean"]["accuracy"]) == 0.0

    def test_vqav2(self, tmp_path: Path) -> None:
        paint(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg", "green")
        asked = [{"image_id": 42, "question": "What color is it?", "question_id": 42000}]
        asked.append({"image_id": 42, "question": "How many?", "question_id": 42001})
        people = ["green"] * 2 + ["Blue"] * 8, ["three"] * 4 + ["3"] * 5 + ["two"]
        notes = [
            {
                "question_id": 42000 + number,
                "image_id": 42,
                "answer_type": kind,
                "multiple_choice_answer": some[0],
                "answers": [{"answer": one, "answer_id": n, "answer_confidence": "yes"} for n, one in enumerate(some)],
            }
            for number, (some, kind) in enumerate(zip(people, ("other", "number"), strict=True))
        ]
        write_json(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
        write_json(tmp_path / "v2_mscoco_val2014_annotations.json", {"annotations": notes})
        write_json(tmp_path / "trainval_label2ans.json", [*COLOURS, "yes", "no", "3"])
        metrics = measure_suite("vqav2", tmp_path)["metrics"]
        assert share(metrics["other"]["accuracy"]) == pytest.approx(0.6)
        assert share(metrics["number"]["accuracy"]) == pytest.approx(1.0)

    def test_gqa(self, tmp_path: Path) -> None:
        paint(tmp_path / "images" / "n161313.jpg", "blue")
        content = {
            "201307251": {"imageId": "n161313", "question": "Which color?", "answer": "blue",
                          "types": {"structural": "query"}},
            "201640614": {"imageId": "n161313", "question": "Is there a red bus?", "answer": "yes",
                          "types": {"structural": "verify"}},
        }  # fmt: skip
        write_json(tmp_path / "testdev_balanced_questions.json", content)
        write_json(tmp_path / "trainval_label2ans.json", [*COLOURS, "yes", "no"])
        metrics = measure_suite("gqa", tmp_path)["metrics"]
        assert [share(metrics[kind]["accuracy"]) for kind in ("all", "query", "verify")] == [0.5, 1.0, 0.0]

    def test_tallyqa(self, tmp_path: Path) -> None:
        paint(tmp_path / "VG_100K_2" / "1.jpg", "blue")
        row = {"image": "VG_100K_2/1.jpg", "question": "How many cups are there?", "question_id": 1, "image_id": 1}
        rows = [row | {"answer": 3, "issimple": True}, row | {"answer": 0, "issimple": False}]
        write_json(tmp_path / "test.json", rows)
        found = measure_suite("tallyqa", tmp_path)
        metrics = found["metrics"]
        assert [share(metrics[kind]["accuracy"]) for kind in ("simple", "complex", "all")] == [1.0, 0.0, 0.5]
        assert found["candidates"]["list"] == list(COUNTS)

    def write_pope(self, folder: Path) -> None:
        name = paint(folder / "val2014" / "COCO_val2014_000000310196.jpg", "red")
        for kind in ("random", "popular", "adversarial"):
            asked = [("red", "yes"), ("blue", "no"), ("green", "yes")]
            rows = [{"question_id": n, "image": name, "text": f"Is there a {one} bear in the image?", "label": label}
                    for n, (one, label) in enumerate(asked, start=1)]  # fmt: skip
            write_lines(folder / f"coco_pope_{kind}.json", rows)

    def test_pope(self, tmp_path: Path) -> None:
        self.write_pope(tmp_path)
        metrics = measure_suite("pope", tmp_path)["metrics"]
        assert set(metrics) == {"random", "popular", "adversarial", "mean"}
        for figures in metrics.values():
            five = [share(figures[name]) for name in ("accuracy", "precision", "recall", "f1", "yes_rate")]
            assert five == pytest.approx([2 / 3, 1.0, 0.5, 2 / 3, 1 / 3])

    def test_popev2(self, tmp_path: Path) -> None:
        rows = []
        for number, (before, after) in enumerate([("red", "blue"), ("green", "green")]):
            for folder, colour, label in (("normal_images", before, "Yes"), ("images", after, "No")):
                name = paint(tmp_path / folder / f"{number:012d}.jpg", colour)
                query = f"Is there a {before} cup in the image?"
                rows.append({"image_id": number, "image_name": f"/{folder}/{name}", "target_object": "cup",
                             "query": query, "label": label})  # fmt: skip
        write_json(tmp_path / "annotations.json", rows)
        metrics = measure_suite("popev2", tmp_path)["metrics"]
        assert share(metrics["all"]["accuracy"]) == 0.75
        assert share(metrics["all"]["pair_accuracy"]) == 0.5
