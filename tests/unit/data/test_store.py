import numpy as np
import pytest

from vljepa.data.store import RowStore
from vljepa.errors import DataError


def row(value):
    tokens = np.full((3, 4), value, dtype=np.float16)
    return {"tokens": tokens, "mask": np.ones(3, np.uint8), "scalar": np.float32([value])}


def rows(*values):
    return [(f"key {value}", row(value)) for value in values]


def test_rows_come_back_without_a_copy(tmp_path):
    store = RowStore(tmp_path / "cache", identity={"encoder": "a"})
    store.append(rows(*range(130)), rows_per_file=60)
    store.append(rows(500))
    again = RowStore(tmp_path / "cache", identity={"encoder": "a"})
    for value in (0, 59, 60, 129, 500):
        found = again.row(f"key {value}")
        assert {name: array.tolist() for name, array in found.items()} == {
            name: array.tolist() for name, array in row(value).items()
        }
        assert found["tokens"].dtype == np.float16
    assert not again.row("key 3")["tokens"].flags.owndata
    assert not again.row("key 3")["tokens"].flags.writeable
    assert "key 77" in again
    assert "key 1000" not in again
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 4


def test_another_identity_is_refused_with_both_values(tmp_path):
    RowStore(tmp_path, identity={"encoder": "a", "seed": 1})
    with pytest.raises(DataError, match=r"encoder = 'a', this run has 'b'.*delete the folder.*data\.cache\.folder"):
        RowStore(tmp_path, identity={"encoder": "b", "seed": 1})
    RowStore(tmp_path, identity={"encoder": "a", "seed": 1})


def test_an_interrupted_writer_leaves_whole_files_only(tmp_path):
    def interrupted():
        yield from rows(*range(70))
        raise KeyboardInterrupt

    store = RowStore(tmp_path, identity={})
    with pytest.raises(KeyboardInterrupt):
        store.append(interrupted(), rows_per_file=50)
    again = RowStore(tmp_path, identity={})
    assert "key 49" in again
    assert "key 50" not in again
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_file_is_named(tmp_path):
    store = RowStore(tmp_path, identity={})
    store.append(rows(1, 2))
    (file,) = tmp_path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=file.name):
        RowStore(tmp_path, identity={})


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    store = RowStore(tmp_path, identity={})

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        store.append(rows(1))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the cache"):
        RowStore(tmp_path / "file" / "cache", identity={})
