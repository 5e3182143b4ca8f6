"""Datasets of the hub, and tars."""

import importlib
import io
import os
import pkgutil
import tarfile

import pytest

from tests.unit.data.test_formats import (
    COLOURS,
    image,
    texts_of,
    write_coco,
    write_dataset,
    write_images,
    write_json,
    write_jsonl,
    write_parquet,
    write_tars,
    write_tsv,
    write_vqa,
)
from vljepa.configs import SourceConfig
from vljepa.data import formats
from vljepa.data.formats import find_data, registry
from vljepa.data.hf_datasets import open_dataset
from vljepa.data.images import open_still
from vljepa.data.sources import load_source
from vljepa.errors import DataError, ImageError


def found(place):
    data = find_data(place)
    return data.kind, data.place


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
