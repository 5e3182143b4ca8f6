"""An index from a stranger is data: it runs nothing, names nothing outside its folder, and is sound or refused."""

import json
import pickle
import random
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest

from vljepa.errors import DataError
from vljepa.inference.index.build import finish
from vljepa.inference.index.entry import Entry, Header
from vljepa.inference.index.manifest import MANIFEST, SHARDS, Manifest, prepare_folder, read_manifest
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import schema, table_of, write_table

HEADER = Header(model="m", fingerprint="f", text_space="s", folder="/images", segments="", width=3)
SEGMENT = {"path": "a.mp4", "size": 1, "mtime": 1.0, "start": 1.5, "end": 4.0, "time": 1.5}


def make(folder, table, **about):
    """An index of one shard."""
    prepare_folder(folder)
    write_table(table, folder / SHARDS / "ab.arrow")
    finish(folder, Manifest(**{"header": HEADER, "shards": {"ab.arrow": len(table)}} | about))
    return folder


def opened(folder):
    manifest = read_manifest(folder)
    return manifest.header, Shards.open(folder, manifest.shards, width=manifest.header.width)


@pytest.fixture
def index(tmp_path):
    entries = [Entry(path=f"deep/{n}.png", size=n, mtime=1.5, content="00") for n in range(3)]
    return make(tmp_path / "sound.index", table_of(entries, np.eye(3, dtype=np.float32)))


def forged(tmp_path, **columns):
    """An index of one entry, with some of its columns replaced."""
    table = table_of([Entry(path="a.png", size=1, mtime=1.0)], np.ones((1, 3), dtype=np.float32))
    for name, column in columns.items():
        number = table.schema.get_field_index(name)
        table = (
            table.remove_column(number)
            if column is None
            else table.set_column(number, _field(table, number, column), column)
        )
    return make(tmp_path / "forged.index", table)


def _field(table, number, column):
    """Such a one as a stranger would write who knows what is looked at: only the values betray it."""
    return table.schema.field(number).with_type(column.type).with_nullable(column.null_count > 0 or number in (4, 5, 6))


def test_a_sound_index_is_read(index, tmp_path):
    header, entries = opened(index)

    assert header == HEADER
    assert entries[1] == Entry(path="deep/1.png", size=1, mtime=1.5, content="00")
    assert entries[-1].path == "deep/2.png"
    np.testing.assert_array_equal(entries.rows(np.array([2, 0])), np.eye(3)[[2, 0]])
    segments = table_of([Entry(**SEGMENT)], np.ones((1, 3), np.float32))
    assert list(opened(make(tmp_path / "a.index", segments))[1]) == [Entry(**SEGMENT)]


class Payload:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return open, (str(self.sentinel), "w")


@pytest.mark.parametrize("disguise", ["pickle", "npy", "torch"])
@pytest.mark.parametrize("place", ["manifest", "shard", "index"])
def test_a_pickle_in_disguise_is_refused_and_not_run(tmp_path, index, disguise, place):
    import torch

    sentinel = tmp_path / "sentinel"
    file = {"manifest": index / MANIFEST, "shard": index / SHARDS / "ab.arrow", "index": tmp_path / "evil.index"}[place]
    evil = np.array([Payload(sentinel)], dtype=object)
    with file.open("wb") as stream:
        if disguise == "pickle":
            pickle.dump(evil, stream)
        elif disguise == "npy":
            np.save(stream, evil, allow_pickle=True)
        else:
            torch.save({"rows": Payload(sentinel)}, stream)

    with pytest.raises(DataError):
        opened(file if place == "index" else index)
    assert not sentinel.exists()

    pickle.loads(pickle.dumps(Payload(sentinel))).close()  # noqa: S301 - shows that the payload is live
    assert sentinel.exists()


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../b.png", "..", "//host/share.png"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, path):
    with pytest.raises(DataError, match="leaves the indexed folder"):
        opened(forged(tmp_path, path=pa.array([path.encode()], pa.binary())))


@pytest.mark.parametrize("path", ["..hidden.png", "a..b/c...png", "...", "a:b.png"])
def test_a_path_with_dots_that_does_not_is_none(tmp_path, path):
    assert opened(forged(tmp_path, path=pa.array([path.encode()], pa.binary())))[1][0].path == path


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("start", "end", "time")),
        {"start": -1.0},
        {"start": float("nan")},
        {"end": 1.5},
        {"end": float("inf")},
        {"time": 1.0},
        {"time": 4.0},
    ],
    ids=str,
)
def test_times_that_cannot_be_right_are_refused(tmp_path, change):
    table = table_of([Entry(**SEGMENT | change)], np.ones((1, 3), np.float32))
    with pytest.raises(DataError, match="ends before it begins"):
        opened(make(tmp_path / "forged.index", table))


def rows(array, width, kind=None):
    return pa.FixedSizeListArray.from_arrays(pa.array(array, kind or pa.float32()), width)


@pytest.mark.parametrize(
    "columns",
    [
        {"row": None},
        {"path": None},
        {"row": rows(np.ones(4, np.float32), 4)},
        {"row": rows(np.ones(3), 3, pa.float64())},
        {"row": rows([1.0, None, 1.0], 3)},
        {"row": pa.array([None], pa.list_(pa.float32(), 3))},
        {"path": pa.array(["a.png"])},
        {"path": pa.array([None], pa.binary())},
        {"size": pa.array([1.5])},
        {"content": pa.array([b"\xff"], pa.binary())},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_columns_that_cannot_be_right_are_refused(tmp_path, columns):
    with pytest.raises(DataError, match="not a sound part of an index"):
        opened(forged(tmp_path, **columns))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_no_number_is_never_found_first(tmp_path, value):
    from vljepa.inference.index.nearest import nearest

    table = table_of(
        [Entry(path=f"{n}.png", size=1, mtime=1.0) for n in range(2)], np.array([[value] * 3, [0, 0, 1]], np.float32)
    )
    entries = opened(make(tmp_path / "forged.index", table))[1]
    assert nearest(entries, None, np.array([0, 0, 1], np.float32), k=2).places.tolist() == [1]


def changed(index, **keys):
    listing = json.loads((index / MANIFEST).read_text())
    for name, value in keys.items():
        where = listing
        *parents, last = name.split("__")
        for parent in parents:
            where = where[parent]
        where.pop(last, None)
        if value is not None:
            where[last] = value
    (index / MANIFEST).write_text(json.dumps(listing))
    return index


APPROXIMATE = {"file": "a.faiss", "factory": "HNSW32", "shards": {}, "recall": 0.9, "queries": 2, "settings": {}}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"format": "weights"}, "not the listing of an index"),
        ({"format": None}, "not the listing of an index"),
        ({"version": 4}, "version 4; this vljepa reads 5"),
        ({"header__text_space": None}, "text_space"),
        ({"header__width": "3"}, "width is '3'"),
        ({"header__more": "x"}, "more"),
        ({"header": []}, "not a sound part"),
        ({"shards": {"../../secret.arrow": 1}}, "secret.arrow"),
        ({"shards": {}}, "it lists no shards"),
        ({"shards": {"ab.arrow": "3"}}, "'3' rows"),
        ({"shards": {"ab.arrow": 2}}, "has 3 rows, and 2 are listed"),
        ({"shards": {"ba.arrow": 3}}, "it is gone"),
        ({"shards": {"ab.arrow": 3, "x": -1}}, "'x'"),
        ({"approximate": {"file": "a.faiss"}}, "not a sound part"),
        ({"approximate": APPROXIMATE | {"file": "../a.faiss"}}, "not a sound part"),
        ({"header__width": 4}, "its columns are"),
        ({"header__folder": "images"}, "is relative"),
        ({"approximate": APPROXIMATE | {"settings": {"sel": 1}}}, "sel = 1"),
    ],
)
def test_a_listing_that_cannot_be_right_is_refused(index, keys, message):
    with pytest.raises(DataError, match=message):
        opened(changed(index, **keys))


@pytest.mark.parametrize("text", ["", "[", "[]", "1", "{}x", "[" * 100_000, "\xff"])
def test_what_is_no_listing_is_refused(index, text):
    (index / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError):
        opened(index)


def test_a_shard_that_is_cut_short_anywhere_is_refused(index):
    file = index / SHARDS / "ab.arrow"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError):
            opened(index)


FLIPS = """
import random, sys
from contextlib import suppress
from pathlib import Path
import numpy as np
from vljepa.errors import DataError
from vljepa.inference.index.rows import Shards

folder = Path(sys.argv[1])
file = folder / "shards" / "ab.arrow"
generator, whole, read = random.Random(0), file.read_bytes(), 0
for _ in range(3000):
    content = bytearray(whole)
    content[generator.randrange(len(content))] = generator.randrange(256)
    file.write_bytes(content)
    with suppress(DataError):
        entries = Shards.open(folder, {"ab.arrow": 3}, width=3)
        list(entries), entries.scores(np.ones(3, np.float32))
        read += 1
print(read)
"""


def test_flipped_bytes_are_read_or_refused_and_end_no_process(index):
    found = subprocess.run([sys.executable, "-c", FLIPS, index], capture_output=True, text=True, check=True)
    assert 100 < int(found.stdout) < 3000


def test_flipped_bytes_of_the_listing_are_read_or_refused(index):
    generator = random.Random(0)
    whole = (index / MANIFEST).read_bytes()
    for _ in range(500):
        content = bytearray(whole)
        content[generator.randrange(len(content))] = generator.randrange(256)
        (index / MANIFEST).write_bytes(content)
        with suppress(DataError):
            opened(index)


@pytest.mark.parametrize("kind", ["folder", "file", "missing"])
def test_no_index(tmp_path, kind):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError):
        opened(tmp_path if kind == "folder" else tmp_path / kind)


def test_a_failing_write_leaves_the_old_index_and_nothing_beside_it(index, monkeypatch):
    before = {file: file.read_bytes() for file in index.rglob("*") if file.is_file()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_table(table_of([], np.zeros((0, 3), np.float32)), index / SHARDS / "ab.arrow")
    with pytest.raises(DataError, match="No space left"):
        finish(index, Manifest(header=HEADER))

    assert {file: file.read_bytes() for file in index.rglob("*") if file.is_file()} == before


def test_what_is_no_index_is_never_overwritten(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff not an index")
    with pytest.raises(DataError, match="is not an index, so it is not overwritten"):
        prepare_folder(photo)
    with pytest.raises(DataError, match="is not an index, so nothing is written into it"):
        prepare_folder(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["photo.jpg"]
    (tmp_path / "empty").mkdir()
    prepare_folder(tmp_path / "empty")


def test_names_with_broken_bytes_come_back(tmp_path):
    entries = [Entry(path="caf\udce9 [red].png", size=1, mtime=1.0)]
    made = make(tmp_path / "a.index", table_of(entries, np.ones((1, 3), np.float32)))

    assert list(opened(made)[1]) == entries


def test_the_schema_is_the_format(index):
    """A change of it is another version."""
    assert [str(one.type) for one in schema(3)] == [
        *("binary", "int64", "double", "binary", "double", "double", "double"),
        "fixed_size_list<item: float>[3]",
    ]
