"""Hostile tables, Parquet files and recipes as training data."""

import json
from contextlib import suppress

import numpy as np
import pytest
import yaml

from tests.security.payloads import pickled
from tests.security.test_training_data import CAP, folder, load, not_for_ever, secret, sound  # noqa: F401  (fixtures)
from vljepa.configs import load_run_config
from vljepa.data.checking import check_data
from vljepa.data.images import open_still
from vljepa.errors import ConfigError, DataError

OUTSIDE = ["../secret.png", "{}", "~/secret.png", "a/../../secret.png", "link/secret.png", "\0", "\\\\host\\secret.png"]


@pytest.mark.parametrize("place", OUTSIDE)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "json", "coco"])
def test_a_path_that_leaves_the_folder_stops_everything(folder, secret, place, kind):
    (folder / "link").symlink_to(folder.parent)
    place = place.format(secret)
    file = folder / f"rows.{'json' if kind == 'coco' else kind}"
    if kind == "jsonl":
        file.write_text(json.dumps({"image": place, "text": "x"}))
    elif kind == "csv":
        file.write_text(f'image,text\n"{place}",x\n')
    elif kind == "json":
        file.write_text(json.dumps([{"image": place, "text": "x"}]))
    else:
        images, annotations = [{"id": 1, "file_name": place}], [{"image_id": 1, "caption": "x"}]
        file.write_text(json.dumps({"images": images, "annotations": annotations}))
    with pytest.raises(DataError, match=r"leads outside|absolute path|is not a path"):
        load(file)


def test_a_path_that_stays_inside_is_read(folder):
    """The control of the one before."""
    (folder / "in.png").write_bytes(sound())
    (folder / "link").symlink_to(folder)
    (folder / "rows.jsonl").write_text(json.dumps({"image": "link/in.png", "text": "x"}))
    [record] = load(folder / "rows.jsonl")
    assert open_still(record.image, max_pixels=CAP).size == (4, 4)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_nesting_is_refused(folder, name):
    (folder / name).write_text('{"image": ' + "[" * 100_000)
    with pytest.raises(DataError):
        load(folder / name)


def test_an_image_in_parquet_that_is_only_a_path_is_not_followed(folder, secret):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"image": [{"bytes": None, "path": str(secret)}], "text": ["x"]}).cast(
            pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "text": pa.string()})
        ),
        folder / "rows.parquet",
    )
    report = check_data(str(folder / "rows.parquet"), max_pixels=CAP)
    assert "holds no image" in next(iter(report.broken.values()))


def test_a_pickled_type_in_parquet_is_not_built(folder, sentinel):
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickled(sentinel),
    }
    field = pa.field("text", pa.string(), metadata=metadata)
    table = pa.table([pa.array([b"x"]), pa.array(["red"])], schema=pa.schema([pa.field("image", pa.binary()), field]))
    pq.write_table(table, folder / "rows.parquet")
    with suppress(DataError):
        load(folder / "rows.parquet")


def test_a_parquet_file_that_is_cut_or_changed_is_read_or_refused(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "rows.parquet"
    pq.write_table(pa.table({"image": [sound()] * 3, "text": ["a", "b", "c"]}), file)
    whole, draw, refused = file.read_bytes(), np.random.default_rng(0), 0
    for length in range(0, len(whole), 61):
        changed = bytearray(whole)
        changed[int(draw.integers(len(whole)))] ^= 0xFF
        for content in (whole[:length], bytes(changed)):
            file.write_bytes(content)
            try:
                load(file)
            except DataError:
                refused += 1
    assert refused > 10


def test_code_beside_a_data_set_is_not_run(folder, sentinel):
    import datasets

    saved = folder / "saved"
    datasets.Dataset.from_dict({"image": ["a.png"], "text": ["x"]}).save_to_disk(saved)
    for name in ("saved.py", "dataset.py", "__init__.py"):
        (saved / name).write_text(f"import os\nos.mkdir({str(sentinel)!r})\n")
    (saved / "dataset.pkl").write_bytes(pickled(sentinel))
    assert len(load(saved)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir ['{}']",
        "data: !!python/object/apply:os.mkdir ['{}']",
        "data: {{train: [!!python/object/new:os.mkdir ['{}']]}}",
        "data: !!python/name:os.mkdir",
        "data: !!python/module:os",
    ],
)
def test_objects_in_a_recipe_are_refused(folder, sentinel, text):
    (folder / "recipe.yaml").write_text(text.format(sentinel))
    with pytest.raises(ConfigError):
        load_run_config(folder / "recipe.yaml")
    with pytest.raises(ConfigError):
        load_run_config("recipes/mini.yaml", [f"data.root={text.format(sentinel).removeprefix('data: ')}"])


def test_yaml_would_run_it(tmp_path):
    """The control of the one before."""
    yaml.unsafe_load(f"!!python/object/apply:os.mkdir ['{tmp_path / 'run'}']")
    assert (tmp_path / "run").is_dir()


DEEP = "[" * 1_000
ALIASES = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize("text", [DEEP, ALIASES + "optim: {lr: *a9}"], ids=["deep", "bomb"])
def test_a_recipe_that_would_grow_without_end_is_one_line(folder, text, not_for_ever):
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_run_config(folder / "recipe.yaml")
    assert len(str(error.value)) < 2_000


def test_a_bomb_of_aliases_in_a_value_that_is_wrong_is_not_printed(folder, not_for_ever):
    """Nine lists of nine, nine deep: four hundred million numbers, were they written out."""
    known = "model: toy\ndata: {train: [{name: a, path: a.csv}]}\n"
    (folder / "recipe.yaml").write_text(known + "optim:\n  lr: " + flow(9))
    with pytest.raises(ConfigError, match=r"optim.lr = \[\[") as error:
        load_run_config(folder / "recipe.yaml")
    assert len(str(error.value)) < 2_000


def flow(depth):
    """Nested lists whose levels are aliases, on one line."""
    text = "&a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"
    for level in range(1, depth):
        text = f"&a{level} [{text}, {', '.join([f'*a{level - 1}'] * 8)}]"
    return text


def strangers(folder):
    """Small files of each layout that is text."""
    images = [{"id": 1, "file_name": "a.png"}]
    karpathy = [{"filename": "a.png", "sentences": [{"raw": "x"}], "split": "train", "cocoid": 1}]
    turns = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "x"}]
    contents = {
        "rows.csv": 'image;text\na.png;"a, ""card"""\nb.png;[\'a\', "b"]\n',
        "rows.tsv": "image\ttext\na.png\ta card\n",
        "captions.txt": "image,caption\na.png,a card\n",
        "tokens.txt": "a.png#0\ta card\na.png#1\tcard\n",
        "rows.jsonl": json.dumps({"image": "a.png", "text": ["a", "b"], "source_id": 3}) + "\n",
        "llava.ndjson": json.dumps({"image": "a.png", "conversations": turns}) + "\n",
        "coco.json": json.dumps({"images": images, "annotations": [{"image_id": 1, "caption": "x"}]}),
        "karpathy.json": json.dumps({"images": karpathy}),
        "llava.json": json.dumps([{"image": "a.png", "conversations": turns}]),
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [folder / name for name in contents]


@pytest.mark.filterwarnings("ignore::vljepa.errors.FileWarning")
def test_texts_that_are_changed_anywhere_are_read_or_refused(folder):
    draw, refused, loaded = np.random.default_rng(0), 0, 0
    odd = [
        b'"',
        b"\n",
        b"\r",
        b"\0",
        b"[",
        b"}",
        b",",
        b"\xff",
        b"null",
        b"1e999",
        b"{}",
        b"\\ud800",
        b"\t",
        b"|",
        b";",
    ]
    for file in strangers(folder):
        whole = file.read_bytes()
        for _ in range(150):
            changed = whole
            for _ in range(int(draw.integers(1, 4))):
                at, length = int(draw.integers(len(whole))), int(draw.integers(0, 4))
                changed = changed[:at] + odd[int(draw.integers(len(odd)))] + changed[at + length :]
            file.write_bytes(changed)
            try:
                check_data(str(file), max_pixels=CAP)
                loaded += 1
            except DataError:
                refused += 1
        file.unlink()
    assert refused > 100
    assert loaded > 100


def test_a_line_without_end_is_refused_before_it_fills_memory(folder):
    import gzip

    with gzip.open(folder / "bomb.csv.gz", "wb") as file:
        file.write(b"image,text\na.png,")
        for _ in range(40):
            file.write(b"x" * (1 << 20))
    with pytest.raises(DataError, match="a line of more than 16,777,216 characters"):
        load(folder / "bomb.csv.gz")
    (folder / "wide.csv").write_text("image," + "x" * 200_000 + "\na.png,b\n")
    with pytest.raises(DataError, match="no column 'text'"):
        load(folder / "wide.csv")
