"""Every kind of data gives the same samples, and images inside larger files are the same images."""

import csv
import io
import json
import tarfile
from dataclasses import replace

import pytest
from PIL import Image

from vljepa.configs import SourceConfig
from vljepa.data.contents import content_of
from vljepa.data.formats import find_data, registry
from vljepa.data.images import open_still
from vljepa.data.sources import load_source
from vljepa.errors import DataError, ImageError

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220)}


def image(colour):
    file = io.BytesIO()
    Image.new("RGB", (20, 12), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


def texts_of(colour):
    return [f"a {colour} card", f"{colour}"]


def write_images(folder):
    folder.mkdir(exist_ok=True)
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(image(colour))


def write_csv(folder, name="captions.csv", delimiter=","):
    write_images(folder)
    with (folder / name).open("w", newline="") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(["image", "text"])
        table.writerows([f"{colour}.png", json.dumps(texts_of(colour))] for colour in COLOURS)
    return folder / name


def write_tsv(folder):
    return write_csv(folder, "captions.tsv", "\t")


def write_jsonl(folder):
    write_images(folder)
    rows = [{"image": f"{colour}.png", "text": texts_of(colour)} for colour in COLOURS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def write_json(folder):
    write_jsonl(folder)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder / "rows.json"


def write_coco(folder):
    write_images(folder)
    images = [{"id": 7 + number, "file_name": f"{colour}.png"} for number, colour in enumerate(COLOURS)]
    annotations = [
        {"id": 0, "image_id": 7 + number, "caption": text}
        for number, colour in enumerate(COLOURS)
        for text in texts_of(colour)
    ]
    content = {"images": [*images, {"id": 99, "file_name": "without.png"}], "annotations": annotations}
    (folder / "captions_val.json").write_text(json.dumps(content))
    return folder / "captions_val.json"


def write_tars(folder):
    folder.mkdir(exist_ok=True)
    for number, colour in enumerate(COLOURS):
        with tarfile.open(folder / f"{number:03}.tar", "w") as tar:
            for name, content in (
                (f"a/{colour}.png", image(colour)),
                (f"a/{colour}.json", json.dumps({"text": texts_of(colour)}).encode()),
                (f"a/{colour}.pyd", b"not read"),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


def write_parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    table = {
        "image": [{"bytes": image(colour), "path": f"{colour}.png"} for colour in COLOURS],
        "text": [texts_of(colour) for colour in COLOURS],
    }
    pq.write_table(pa.table(table), folder / "rows.parquet", row_group_size=2)
    return folder / "rows.parquet"


def write_dataset(folder):
    import datasets

    rows = {
        "image": [{"bytes": image(colour), "path": None} for colour in COLOURS],
        "text": [texts_of(colour) for colour in COLOURS],
    }
    features = datasets.Features({"image": datasets.Image(), "text": datasets.List(datasets.Value("string"))})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder)
    return folder


def write_flickr(folder):
    write_images(folder)
    lines = [f"{colour}.png#{number}\t{text}" for colour in COLOURS for number, text in enumerate(texts_of(colour))]
    (folder / "results.token").write_text("\n".join(lines))
    return folder / "results.token"


def write_captions(folder):
    write_csv(folder, "metadata.csv")
    (folder / "other.csv").write_text("image,text\n")
    return folder


def write_table(folder):
    write_jsonl(folder)
    return folder


def write_parts(folder):
    """A row to a part."""
    write_jsonl(folder)
    for number, line in enumerate((folder / "rows.jsonl").read_text().splitlines()):
        (folder / f"train-{number:05}-of-{len(COLOURS):05}.jsonl").write_text(line)
    (folder / "rows.jsonl").unlink()
    return folder


def write_splits(folder):
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        write_csv(folder / split)
    return folder


KINDS = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "json": write_json,
    "coco": write_coco,
    "tars": write_tars,
    "parquet": write_parquet,
    "dataset": write_dataset,
    "flickr": write_flickr,
    "captions": write_captions,
    "table": write_table,
    "parts": write_parts,
    "splits": write_splits,
}
OTHERS = {"txt", "classes", "sidecars"}
"""Formats that cannot hold these samples: no images, or one text of each; see test_strangers_folders.py."""


@pytest.mark.parametrize("write", KINDS.values(), ids=KINDS)
def test_every_kind_gives_the_same_samples(tmp_path, write):
    place = write(tmp_path / "data")
    records = load_source(SourceConfig(name="s", path=str(place)))
    assert [list(record.texts) for record in records] == [texts_of(colour) for colour in COLOURS]
    assert len({record.source_id for record in records}) == 3
    for record, colour in zip(records, COLOURS, strict=True):
        assert open_still(record.image, max_pixels=1_000).getpixel((3, 3)) == COLOURS[colour]
        (tmp_path / "same.png").write_bytes(image(colour))
        assert content_of(record.image, {}) == content_of(tmp_path / "same.png", {})
    with pytest.raises(ImageError, match="the cap is 100"):
        open_still(records[0].image, max_pixels=100)


def test_every_format_that_is_registered_is_among_them(tmp_path, monkeypatch):
    recognised = set()

    def watched(one):
        def recognise(place, split):
            found = one.recognise(place, split)
            recognised.update([one.name, found.kind] if found is not None else [])
            return found

        return replace(one, recognise=recognise)

    monkeypatch.setattr(registry, "FORMATS", {name: watched(one) for name, one in registry.FORMATS.items()})
    for name, write in KINDS.items():
        find_data(write(tmp_path / name))
    assert recognised | OTHERS == registry.FORMATS.keys(), "give a new format a `write_...` in KINDS"


def test_a_folder_per_class(tmp_path):
    for colour in COLOURS:
        write_images(tmp_path / f"{colour}_dark-card")
    records = load_source(SourceConfig(name="s", path="."), root=tmp_path)
    assert len(records) == 9
    assert {record.texts for record in records} == {(f"{colour} dark card",) for colour in COLOURS}
    assert records[0].image == tmp_path / "blue_dark-card" / "blue.png"


def write_vqa(folder):
    write_images(folder)
    questions = {
        "data_subtype": "val2014",
        "questions": [
            {"image_id": 42, "question": "how many?", "question_id": 1},
            {"image_id": 42, "question": "unanswered?", "question_id": 2},
        ],
    }
    annotations = {
        "annotations": [{"question_id": 1, "image_id": 42, "multiple_choice_answer": "2", "answer_type": "number"}]
    }
    (folder / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps(questions))
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps(annotations))
    return folder / "v2_OpenEnded_mscoco_val2014_questions.json"


def test_vqa_questions_with_their_answers(tmp_path):
    questions = write_vqa(tmp_path / "data")
    [record] = load_source(SourceConfig(name="s", path=str(questions)))
    assert (record.query, record.texts, record.type, record.source_id) == ("how many?", ("2",), "number", "42")
    assert record.image.name == "COCO_val2014_000000000042.jpg"
    (questions.parent / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match=r"answers of .* are not there: 'v2_mscoco_val2014_annotations.json'"):
        load_source(SourceConfig(name="s", path=str(questions)))


def test_class_labels_of_a_data_set_are_words_and_splits_are_named(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [{"bytes": image("red"), "path": None}] * 2, "label": [1, 0]}
    saved = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows, features=features)})
    saved.save_to_disk(tmp_path / "data")
    columns = {"text": "label"}
    with pytest.raises(DataError, match="has the splits train"):
        load_source(SourceConfig(name="s", path=str(tmp_path / "data"), columns=columns))
    records = load_source(SourceConfig(name="s", path=str(tmp_path / "data" / "train"), columns=columns))
    assert [record.texts for record in records] == [("dog",), ("cat",)]
