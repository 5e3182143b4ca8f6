"""`check_data` finds what is wrong with data, and proposes a training that works."""

import json
import shlex
from pathlib import Path

import pytest

from tests.conftest import draw_shape, write_rows
from tests.shard_server import serve
from tests.unit.data.test_formats import COLOURS, KINDS, write_coco, write_images, write_tars, write_vqa
from vljepa.cli.main import main
from vljepa.configs import load_run_config
from vljepa.data.checking import check_data
from vljepa.data.formats.names import guess_columns
from vljepa.data.sources import load_source
from vljepa.errors import DataError

CAP = 1_000_000


def checked(path, **settings):
    return check_data(str(path), max_pixels=CAP, **settings)


@pytest.mark.parametrize("write", KINDS.values(), ids=KINDS)
def test_every_kind_is_recognised_and_its_command_reads_the_same(tmp_path, write):
    report = checked(write(tmp_path / "data"))
    assert (report.rows, report.images, report.texts, report.opened, report.broken) == (3, 3, 6, 3, {})
    words = shlex.split(report.command)
    assert words[:3] == ["vljepa", "train", "lora_retrieval"]
    [source] = load_run_config("recipes/lora_retrieval.yaml", words[3:]).data.train
    assert [list(one.texts) for one in load_source(source)][:3] == [one["text"] for one in report.samples]


def test_questions_get_the_recipe_of_questions(tmp_path):
    report = checked(write_vqa(tmp_path / "data"))
    assert (report.queries, report.samples[0]["query"]) == (1, "how many?")
    assert report.broken, "the images are not there"
    words = shlex.split(report.command)
    assert words[2] == "lora_vqa"


def test_the_command_for_questions_is_the_recipe_with_the_data(tmp_path):
    write_images(tmp_path)
    table = "image,query,text,candidates\n"
    table += "".join(f'{colour}.png,what colour?,{colour},"[""red"", ""green"", ""blue""]"\n' for colour in COLOURS)
    for name in ("questions.csv", "validation.csv"):
        (tmp_path / name).write_text(table)
    words = shlex.split(checked(tmp_path).command)
    assert words[:3] == ["vljepa", "train", "lora_vqa"]
    data = load_run_config("recipes/lora_vqa.yaml", words[3:]).data
    [train], [held_out] = data.train, data.validation
    assert (Path(train.path).name, Path(held_out.path).name, held_out.task) == (
        "questions.csv",
        "validation.csv",
        "vqa",
    )
    for source in (train, held_out):
        records = load_source(source)
        assert [(one.query, one.texts) for one in records] == [("what colour?", (colour,)) for colour in COLOURS]
        assert records[0].candidates == ("red", "green", "blue")


def test_duplicates_broken_images_and_overlap_are_counted(tmp_path):
    write_images(tmp_path)
    (tmp_path / "again.png").write_bytes((tmp_path / "red.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    names = ["red", "again", "green", "broken", "absent", "green"]
    write_rows(tmp_path / "captions.jsonl", [{"image": f"{name}.png", "text": "a card"} for name in names])
    write_rows(
        tmp_path / "validation.jsonl", [{"image": f"{name}.png", "text": "a card"} for name in ("blue", "again")]
    )
    report = checked(tmp_path)
    assert (report.rows, report.images, report.same_images, report.same_rows) == (6, 5, 1, 1)
    assert [name.rpartition("/")[2] for name in report.broken] == ["broken.png", "absent.png"]
    assert (report.validation, report.overlap) == (str(tmp_path / "validation.jsonl"), 1)
    assert "held_out" in report.command
    assert checked(tmp_path, limit=1).opened == 1
    (tmp_path / "validation.jsonl").unlink()
    assert (checked(tmp_path).validation, checked(tmp_path).overlap) == (None, None)


def test_images_that_are_numbered_per_file_are_not_the_same(tmp_path):
    """COCO files, one per split, that both count from 7: contents decide."""
    train = write_coco(tmp_path / "train")
    other = write_coco(tmp_path / "val")
    for number, colour in enumerate(("red", "green", "blue")):
        draw_shape(tmp_path / "val" / f"{colour}.png", colour=colour, shape="bar", shift=number)
    report = checked(train, validation=str(other))
    assert (report.overlap, report.same_ids) == (0, 0)
    (tmp_path / "val" / "red.png").write_bytes((tmp_path / "train" / "blue.png").read_bytes())
    report = checked(train, validation=str(other))
    assert (report.overlap, report.same_ids) == (1, 0)


def test_an_image_that_was_saved_again_is_found_by_its_id(tmp_path):
    for name, shift in (("a", 0), ("b", 1), ("c", 2)):
        draw_shape(tmp_path / f"{name}.png", colour="red", shape="bar", shift=shift)
    for file, ids in (("captions", {"a": "coco:1", "b": "coco:2"}), ("validation", {"b": "coco:2", "c": "coco:1"})):
        rows = [{"image": f"{name}.png", "text": "x", "source_id": one} for name, one in ids.items()]
        write_rows(tmp_path / f"{file}.jsonl", rows)
    report = checked(tmp_path)
    assert (report.overlap, report.same_ids) == (1, 1)


def test_the_samples_are_from_the_whole_and_a_folder_of_validation_is_found(tmp_path):
    for part in ("train", "val"):
        for colour in ("red", "green", "blue"):
            (tmp_path / part / colour).mkdir(parents=True)
            for number in range(3):
                draw_shape(tmp_path / part / colour / f"{number}.png", colour=colour, shape="bar", shift=number)
    report = checked(tmp_path / "train")
    assert [one["text"] for one in report.samples] == [["blue"], ["green"], ["red"]]
    assert (report.validation, report.overlap) == (str(tmp_path / "val"), 9)


@pytest.mark.parametrize("name", ["validation.json", "validation.tsv", "valid.csv", "val.jsonl", "val.json"])
def test_a_file_of_validation_is_found_beside_the_data(tmp_path, name):
    write_images(tmp_path)
    rows = [{"image": f"{colour}.png", "text": "a card"} for colour in ("red", "green")]
    write_rows(tmp_path / "rows.jsonl", rows[:1])
    image, text = rows[1].values()
    written = {
        ".csv": f"image,text\n{image},{text}\n",
        ".tsv": f"image\ttext\n{image}\t{text}\n",
        ".json": json.dumps(rows[1:]),
        ".jsonl": json.dumps(rows[1]),
    }
    (tmp_path / name).write_text(written[(tmp_path / name).suffix])
    report = checked(tmp_path)
    assert (report.place, report.rows) == (str(tmp_path / "rows.jsonl"), 1)
    assert (report.validation, report.overlap) == (str(tmp_path / name), 0)


def test_videos_are_seen_as_clips(tmp_path):
    frames = tmp_path / "clip"
    frames.mkdir()
    for number in range(4):
        draw_shape(frames / f"{number}.png", colour="red", shape="circle", shift=number)
    write_rows(tmp_path / "captions.jsonl", [{"video": "clip", "caption": "a red circle"}])
    report = checked(tmp_path)
    assert (report.broken, report.source["view"]) == ({}, {"name": "clip", "frames": 8})


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"File_Name": "a.png", " Caption ": "x"}, {"image": "File_Name", "text": " Caption "}),
        ({"img": "a.png", "question": "?", "answer": "x"}, {"image": "img", "text": "answer", "query": "question"}),
        ({"image": "a.png", "path": "b.png", "label": 1, "text": "x"}, {"image": "image", "text": "text"}),
        ({"id": 1, "link": "x"}, {}),
        ({"url": "x", "Image Name": "y"}, {"image": "Image Name", "source_id": "url"}),
    ],
)
def test_columns_are_guessed_by_name(row, columns):
    assert guess_columns(row) == columns


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"url": "x", "text": "x"}, "looks like the image; the columns are url, text"),
        ({"image": "x", "tag": "x"}, "looks like the text; the columns are image, tag"),
    ],
)
def test_without_an_image_or_a_text_column_it_says_what_there_is(tmp_path, row, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=message):
        checked(tmp_path / "rows.jsonl")


def test_shards_behind_an_address_are_known_by_the_first(tmp_path):
    write_tars(tmp_path / "remote")
    with serve(tmp_path / "remote") as server:
        pattern = f"{server.address}/{{000..002}}.tar"
        report = checked(pattern)
        assert server.asked == ["000.tar"]
    assert (report.place, report.shards, report.kind, report.rows, report.broken) == (pattern, 3, "tars", 1, {})
    words = shlex.split(report.command)
    run = load_run_config("recipes/lora_retrieval.yaml", words[3:])
    assert (run.data.train[0].path, run.data.cache) == (pattern, None)


@pytest.mark.parametrize("held_out", [True, False])
def test_what_needs_no_image_is_said_of_questions(tmp_path, capsys, held_out):
    write_images(tmp_path)
    table = "image,query,text\n" + "".join(
        f"{colour}.png,{query},{answer}\n" * count
        for colour in COLOURS
        for query, answer, count in (("is there a cat?", "no", 3), ("is there a cat?", "yes", 1), ("what?", "this", 1))
    )
    for name in ("questions.csv", "validation.csv") if held_out else ("questions.csv",):
        (tmp_path / name).write_text(table)
    assert checked(tmp_path).blind == {"majority": 0.6, "majority_per_question": 0.8, "question_only": 0.8}
    main(["data", "check", str(tmp_path)])
    told = "right without looking at the image: majority 60.0%, majority per question 80.0%, question only 80.0%"
    assert told in capsys.readouterr().out


def test_images_without_questions_have_no_baseline(tmp_path):
    write_images(tmp_path)
    (tmp_path / "captions.csv").write_text("image,text\n" + "".join(f"{one}.png,{one}\n" for one in COLOURS))
    assert checked(tmp_path).blind == {}
