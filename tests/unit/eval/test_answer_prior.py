"""The questions with skewed answers: what is asked, and that an image is in one split."""

import json

from eval import registry, run
from eval.studies.answer_prior.build import caption_questions, fold_of, object_questions, split_photos, write_data


def photo(number, objects, captions=()):
    return {"image": f"{number}.jpg", "image_id": number, "objects": objects, "captions": list(captions)}


def asked(rows, kind):
    return [(row["query"], row["text"]) for row in rows if row["type"] == kind]


def test_objects_are_counted_and_asked_for():
    rows = object_questions([photo(1, {"dog": 1, "person": 7, "knife": 2}), photo(2, {"cat": 1, "dog": 1})])
    first = [row for row in rows if row["source_id"] == "coco:1"]
    assert asked(first, "count") == [
        ("how many dogs are there?", "one"),
        ("how many people are there?", "many"),
        ("how many knives are there?", "two"),
    ]
    assert ("is there a dog?", "yes") in asked(first, "presence")
    assert asked(first, "presence")[-1] == ("is there a cat?", "no"), "the only thing that is not there"
    assert asked(rows, "kind") == [("which animal is in the photo?", "dog")], "the second photo has two animals"


def test_captions_are_asked_for_what_most_of_them_say():
    captions = ["A man riding a wave on a red board.", "a man surfing", "A man riding on the water.", "some water"]
    rows = caption_questions([photo(1, {}, captions)])
    assert asked(rows, "place") == [("where is this?", "water")]
    assert asked(rows, "color") == [("what color is the board?", "red")]
    assert asked(rows, "action") == [("what is the man doing?", "riding")]
    assert asked(rows, "on what") == [("what is the man riding on?", "water")]


def test_an_image_is_in_one_split_and_candidates_are_training_answers(tmp_path):
    photos = [photo(number, {"dog": 1 + number % 3, "cat": 1}, ["a red bus on the street"]) for number in range(12)]
    (tmp_path / "photos.jsonl").write_text("".join(json.dumps(one) + "\n" for one in photos))
    held_out = {"test": ["0", "7"], "validation": ["1", "2", "3", "4"], "train": []}
    sizes = write_data(tmp_path, tmp_path / "out", held_out=held_out)
    parts = split_photos(photos, held_out=held_out)
    assert [len(parts[split]) for split in ("train", "validation", "test")] == [8, 2, 2]
    assert {one["image_id"] for one in parts["validation"]} < {1, 2, 3, 4}
    assert {one["image_id"] for one in parts["test"]} == {0, 7}
    seen = {}
    for split in parts:
        rows = [json.loads(line) for line in (tmp_path / "out" / "objects" / f"{split}.jsonl").read_text().splitlines()]
        assert len(rows) == sizes["objects"][split]
        assert all(row["text"] in row["candidates"] for row in rows)
        for row in rows:
            assert seen.setdefault(row["source_id"], split) == split


def test_folds_test_every_unseen_image_once_and_validate_on_others():
    held_out = {"test": [str(one) for one in range(20)], "validation": [str(one) for one in range(20, 50)], "train": []}
    parts = [fold_of(held_out, fold, folds=5) for fold in range(5)]
    assert sorted((one for part in parts for one in part["test"]), key=int) == [str(one) for one in range(50)]
    for number, part in enumerate(parts):
        assert not set(part["test"]) & set(part["validation"])
        assert part["validation"] == parts[(number + 1) % 5]["test"]


def test_the_report_has_every_arm_and_difference():
    one = {"mean": 0.5, "low": 0.4, "high": 0.61, "items": 3}
    result = {
        "command": "python -m eval.answer_prior",
        "commit": "0" * 40,
        "date": "today",
        "hardware": "a processor",
        "seeds": [0, 1],
        "protocol": {"data": "photos"},
        "sets": {
            "objects": {
                "sizes": {"answers": 3}
                | {f"{split}{what}": 7 for split in ("train", "validation", "test") for what in ("", " photos")},
                "accuracy": {"recipe": one, "question only": one},
                "by_type": {"count": {"recipe": 0.25, "question only": 0.2}},
                "differences": {"recipe - question only": one},
            }
        },
    }
    text = registry.tables("answer prior", result)
    assert "| recipe | 50.0 [40.0, 61.0] | 25.0 |" in text
    assert "| recipe - question only | +50.0 [+40.0, +61.0] |" in text


def test_photos_that_are_not_there_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("eval.core.suite.OWN_DATA", ())
    assert run.main(["answer_prior_objects", "--data", str(tmp_path), "--work", str(tmp_path / "work")]) == run.SKIPPED
    assert "photos.jsonl not in" in " ".join(capsys.readouterr().err.split())
