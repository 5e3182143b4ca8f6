"""An index from a stranger is data: it runs nothing, names nothing outside its folder, and is sound or refused."""

import json
import pickle
import random
import struct
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import save_file

from vljepa.errors import DataError
from vljepa.inference.index_file import Entry, IndexHeader, read_index, write_index

REST = {"fingerprint": "f", "folder": "f", "segments": "m"}
HEADER = IndexHeader(model="m", fingerprint="f", text_space="s", folder="/images", segments="")


ROW = {"path": "a.png", "size": 1, "mtime": 1.0, "start": None, "end": None, "time": None}
SEGMENT = {"path": "a.mp4", "size": 1, "mtime": 1.0, "start": 1.5, "end": 4.0, "time": 1.5}


@pytest.fixture
def index(tmp_path):
    file = tmp_path / "sound.index"
    entries = [Entry(path=f"deep/{n}.png", size=n, mtime=1.5) for n in range(3)]
    write_index(file, header=HEADER, entries=entries, rows=np.eye(3, dtype=np.float32))
    return file


def forged(tmp_path, *, listing=None, rows=None, **metadata):
    """An index with some of its parts replaced."""
    listing = json.dumps([ROW]) if listing is None else listing
    rows = np.ones((1, 3), dtype=np.float32) if rows is None else rows
    tensors = {"rows": rows, "entries": np.frombuffer(listing.encode(), dtype=np.uint8)}
    fields = {"format": "vljepa-index", "version": "4", "model": "m", "text_space": "s"} | REST | metadata
    save_file(tensors, tmp_path / "forged.index", metadata={key: value for key, value in fields.items() if value})
    return tmp_path / "forged.index"


def test_a_sound_index_is_read(index, tmp_path):
    header, entries, rows = read_index(index)

    assert header == HEADER
    assert entries[1] == Entry(path="deep/1.png", size=1, mtime=1.5)
    np.testing.assert_array_equal(rows, np.eye(3))
    assert len(read_index(forged(tmp_path))[1]) == 1
    assert read_index(forged(tmp_path, listing=json.dumps([SEGMENT])))[1] == [Entry(**SEGMENT)]


class Payload:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return open, (str(self.sentinel), "w")


@pytest.mark.parametrize("disguise", ["pickle", "npy", "npz", "torch"])
def test_a_pickle_in_disguise_is_refused_and_not_run(tmp_path, disguise):
    import torch

    file, sentinel = tmp_path / "evil.index", tmp_path / "sentinel"
    evil = np.array([Payload(sentinel)], dtype=object)
    with file.open("wb") as stream:
        if disguise == "pickle":
            pickle.dump(evil, stream)
        elif disguise == "npy":
            np.save(stream, evil, allow_pickle=True)
        elif disguise == "npz":
            np.savez(stream, rows=evil)
        else:
            torch.save({"rows": Payload(sentinel)}, stream)

    with pytest.raises(DataError, match="not an index"):
        read_index(file)
    assert not sentinel.exists()

    pickle.loads(pickle.dumps(Payload(sentinel))).close()  # noqa: S301 - shows that the payload is live
    assert sentinel.exists()


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../b.png", "..", "//host/share.png"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, path):
    with pytest.raises(DataError, match="leaves the indexed folder"):
        read_index(forged(tmp_path, listing=json.dumps([ROW | {"path": path}])))


BAD_LISTINGS = (
    "",
    "[",
    "[]",
    "1",
    "[1]",
    "{}x",
    "[" * 100_000,
    '{"path": "a"}',
    '[{"path": "a.png"}]',
    json.dumps([ROW | {"size": "x"}]),
    json.dumps([ROW]).replace('"size": 1', '"size": 1e999'),
    *(
        json.dumps([SEGMENT | change])
        for change in (
            *({name: None} for name in ("start", "end", "time")),
            {"start": -1},
            {"start": float("nan")},
            {"end": 1.5},
            {"end": float("inf")},
            {"time": 1},
            {"time": 4},
            {"time": []},
            {"end": "soon"},
        )
    ),
    json.dumps([{name: value for name, value in SEGMENT.items() if name != "time"}]),
)
BAD_ROWS = (
    np.ones((2, 3), np.float32),
    np.ones((1, 3), np.float64),
    np.ones(3, np.float32),
    np.ones((1, 1, 3), np.float32),
    np.full((1, 3), np.nan, np.float32),
    np.full((1, 3), np.inf, np.float32),
)


@pytest.mark.parametrize("listing", BAD_LISTINGS, ids=lambda text: text[:20])
def test_a_listing_that_cannot_be_right_is_refused(tmp_path, listing):
    with pytest.raises(DataError):
        read_index(forged(tmp_path, listing=listing))


@pytest.mark.parametrize("rows", BAD_ROWS, ids=lambda rows: f"{rows.shape} {rows.dtype} {rows.flat[0]}")
def test_rows_that_cannot_be_right_are_refused(tmp_path, rows):
    with pytest.raises(DataError, match="not a sound index"):
        read_index(forged(tmp_path, rows=rows))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "weights"}, "not an index"),
        ({"format": None}, "not an index"),
        ({"version": "2"}, "version '2'; this vljepa reads 4"),  # it had no times
        ({"text_space": None}, "lacks 'text_space'"),
        ({"fingerprint": None}, "lacks 'fingerprint'"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(tmp_path, metadata, message):
    with pytest.raises(DataError, match=message):
        read_index(forged(tmp_path, **metadata))


def test_another_safetensors_file_is_refused(tmp_path):
    save_file({"rows": np.ones((1, 3), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="not an index"):
        read_index(tmp_path / "model.safetensors")


def test_a_missing_tensor_is_refused(tmp_path):
    fields = {"format": "vljepa-index", "version": "4", "model": "m", "text_space": "s"} | REST
    save_file({"entries": np.zeros(2, np.uint8)}, tmp_path / "a.index", metadata=fields)
    with pytest.raises(DataError):
        read_index(tmp_path / "a.index")


def test_cut_short_anywhere_it_is_refused(index):
    whole = index.read_bytes()
    for length in range(len(whole)):
        index.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_index(index)


def test_flipped_bytes_it_is_read_or_refused(index):
    generator = random.Random(0)
    whole = index.read_bytes()
    for _ in range(500):
        content = bytearray(whole)
        content[generator.randrange(len(content))] = generator.randrange(256)
        index.write_bytes(content)
        with suppress(DataError):
            read_index(index)


def test_a_header_that_claims_to_be_huge_is_refused(tmp_path):
    (tmp_path / "huge.index").write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(DataError):
        read_index(tmp_path / "huge.index")


@pytest.mark.parametrize("kind", ["folder", "missing"])
def test_no_file(tmp_path, kind):
    with pytest.raises(DataError):
        read_index(tmp_path if kind == "folder" else tmp_path / "none.index")


def test_a_failing_write_leaves_the_old_index_and_nothing_beside_it(index, monkeypatch):
    before = index.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_index(index, header=HEADER, entries=[], rows=np.zeros((0, 3), np.float32))

    assert index.read_bytes() == before
    assert [path.name for path in index.parent.iterdir()] == [index.name]


def test_a_file_that_is_no_index_is_never_overwritten(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff not an index")
    with pytest.raises(DataError, match="is not an index, so it is not overwritten"):
        write_index(photo, header=HEADER, entries=[], rows=np.zeros((0, 3), np.float32))
    assert photo.read_bytes() == b"\xff\xd8\xff not an index"

    old = forged(tmp_path, version="1")
    write_index(old, header=HEADER, entries=[], rows=np.zeros((0, 3), np.float32))
    assert read_index(old)[0] == HEADER


def test_names_with_broken_bytes_come_back(tmp_path):
    entries = [Entry(path="caf\udce9 [red].png", size=1, mtime=1.0)]
    write_index(tmp_path / "a.index", header=HEADER, entries=entries, rows=np.ones((1, 3), np.float32))

    assert read_index(tmp_path / "a.index")[1] == entries
