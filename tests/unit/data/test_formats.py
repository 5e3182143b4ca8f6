"""Every kind of data gives the same samples, and images inside larger files are the same images."""

import csv
import importlib
import io
import json
import os
import pkgutil
import tarfile

import pytest
from PIL import Image

from vljepa.configs import SourceConfig
from vljepa.data import formats
from vljepa.data.contents import content_of
from vljepa.data.formats import find_data, registry
from vljepa.data.hf_datasets import open_dataset
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


def found(place):
    data = find_data(place)
    return data.kind, data.place


KINDS = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "json": write_json,
    "coco": write_coco,
    "tars": write_tars,
    "parquet": write_parquet,
    "dataset": write_dataset,
}


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


def test_a_data_set_of_the_hub_is_read_by_name_and_split(tmp_path, monkeypatch):
    import datasets

    held = {"test": datasets.load_from_disk(str(write_dataset(tmp_path / "data")))}
    asked = []

    def load_dataset(name, split=None):
        asked.append((name, split))
        if name != "someone/cards":
            raise FileNotFoundError(f"Couldn't find {name}")
        return held[split] if split else datasets.DatasetDict(held)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    open_dataset.cache_clear()
    records = load_source(SourceConfig(name="s", path="hf:someone/cards:test"), root="elsewhere")
    assert [list(record.texts) for record in records] == [texts_of(colour) for colour in COLOURS]
    assert open_still(records[1].image, max_pixels=1_000).getpixel((3, 3)) == COLOURS["green"]
    assert asked == [("someone/cards", "test")], "opened once"
    with pytest.raises(DataError, match="has the splits test") as error:
        load_source(SourceConfig(name="s", path="hf:someone/cards"))
    assert "hf:someone/cards:SPLIT" in error.value.fix
    with pytest.raises(DataError, match=r"'hf:absent:train' cannot be opened: FileNotFoundError: Couldn't find absent"):
        load_source(SourceConfig(name="s", path="hf:absent:train"))
    open_dataset.cache_clear()


def test_a_tar_that_is_cut_after_it_was_indexed_is_an_unreadable_image(tmp_path):
    folder = write_tars(tmp_path / "data")
    [first, *_] = load_source(SourceConfig(name="s", path=str(folder)))
    (folder / "000.tar").write_bytes((folder / "000.tar").read_bytes()[:520])
    with pytest.raises(ImageError, match="cut short"):
        first.image.read()
    (folder / "000.tar").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        first.image.read()


def test_samples_of_a_tar_are_told_apart_by_name_and_texts_are_found(tmp_path):
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        for name, content in (
            ("x/1.png", image("red")),
            ("x/1.txt", b" red card \n"),
            ("y/1.png", image("blue")),
            ("y/1.caption", b"blue card"),
            ("y/1.question", b"what is it?"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    first, second = load_source(SourceConfig(name="s", path=str(tmp_path / "one.tar")))
    assert (first.texts, first.query) == (("red card",), "")
    assert (second.texts, second.query) == (("blue card",), "what is it?")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", "{}", "neither COCO captions, Karpathy's splits, VQA questions nor"),
        ("rows.json", "[1]", "not a JSON object"),
        ("rows.json", '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "x"}]}', "not COCO captions"),
        ("rows.json", "{", "no readable JSON"),
        ("rows.parquet", "PAR1", "no readable Parquet"),
        ("rows.tar", "x" * 2000, "no readable tar"),
        ("rows.xyz", "", "no known kind"),
    ],
)
def test_what_is_not_what_it_looks_like_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_source(SourceConfig(name="s", path=name), root=tmp_path)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="holds no captions file, tars"):
        find_data(tmp_path)


@pytest.mark.parametrize("write", [write_tsv, write_jsonl, write_json, write_coco, write_parquet, write_vqa])
def test_one_data_file_in_a_folder_is_it_even_beside_a_folder_of_images(tmp_path, write):
    file = write(tmp_path / "data")
    if write is write_json:
        (file.parent / "rows.jsonl").unlink()
    write_images(tmp_path / "data" / "images")
    (tmp_path / "data" / "validation.csv").write_text("image,text\n")
    assert find_data(tmp_path / "data").place == file


def test_several_data_files_are_named_unless_the_folders_are_classes(tmp_path):
    for name in ("a.csv", "b.tsv"):
        (tmp_path / name).write_text("image,text\n")
    with pytest.raises(DataError, match=r"several data files: a.csv, b.tsv"):
        find_data(tmp_path)
    write_images(tmp_path / "red")
    assert found(tmp_path) == ("classes", tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class_names.json", '["red", "blue"]'),
        ("class_names.json", '{"0": "red"}'),
        ("labels.csv", "id,name\n0,red\n"),
        ("labels.csv", ""),
    ],
)
def test_a_list_of_classes_beside_their_folders_is_no_data(tmp_path, name, content):
    for colour in ("red", "blue"):
        write_images(tmp_path / colour)
    (tmp_path / name).write_text(content)
    assert found(tmp_path) == ("classes", tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / "labels.csv").write_text("filename,label\nred/red.png,red\n")
    assert found(tmp_path) == ("csv", tmp_path / "labels.csv"), "this one names images"


def test_a_folder_whose_parts_are_folders_of_classes_names_them(tmp_path):
    for part in ("cards", "tiles"):
        (tmp_path / part).mkdir()
        write_images(tmp_path / part / "red")
    with pytest.raises(DataError, match="name one of its parts: cards, tiles"):
        find_data(tmp_path)
    assert found(tmp_path / "cards") == ("classes", tmp_path / "cards")


@pytest.mark.parametrize("path", ["s3://bucket/{000..123}.tar", "https://host/a.tar", "pipe:cat a.tar", "|cat a.tar"])
def test_a_stream_is_refused_with_what_to_do(path):
    with pytest.raises(DataError, match=r"is a stream.*download it"):
        load_source(SourceConfig(name="s", path=path), root="elsewhere")


def test_a_pipe_is_refused_and_a_file_with_a_colon_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "rows.tar")
    with pytest.raises(DataError, match="is a stream"):
        find_data(tmp_path / "rows.tar")
    (tmp_path / "at: home.csv").write_text("image,text\na.png,x\n")
    assert len(load_source(SourceConfig(name="s", path="at: home.csv"), root=tmp_path)) == 1


def test_every_format_is_registered():
    """Whatever a file of the package makes a `Format` of is asked and can be read: none is left out of the list."""
    made = {}
    for info in pkgutil.iter_modules(formats.__path__):
        module = importlib.import_module(f"{formats.__name__}.{info.name}")
        made |= {one.name: one for one in vars(module).values() if isinstance(one, registry.Format)}
    assert made == registry.FORMATS


def test_no_format_takes_an_empty_folder_for_its_own(tmp_path):
    for one in registry.FORMATS.values():
        assert one.recognise(tmp_path, None) is None, one.name
