"""An index for other programs and back: NumPy's and Qdrant's own search find the same files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vljepa.errors import ConfigError, DataError, TextSpaceError
from vljepa.inference.embed import Embedder
from vljepa.inference.index import Index, exchange, qdrant
from vljepa.inference.index.exchange import holds_rows, read_rows, write_npy, write_sidecar
from vljepa.inference.index.qdrant import write_qdrant


@pytest.fixture
def index(model, processor, images, animation):
    """Of images of many colours and an animation."""
    generator = np.random.default_rng(0)
    for number in range(20):
        Image.new("RGB", (2, 2), tuple(map(int, generator.integers(1, 256, 3)))).save(images / f"{number:02}.png")
    animation("images/clip.gif", ("blue", 2), ("green", 1))
    return Index.build(model, processor, images)


def export(index, folder, form):
    if form == "npy":
        write_npy(index.entries, index.manifest.header, folder)
    else:
        write_qdrant(index.entries, folder)
        write_sidecar(folder, index.manifest.header, form=form, count=len(index))
    return folder


@pytest.fixture(params=["npy", "qdrant"])
def exported(request, index, tmp_path):
    return export(index, tmp_path / "out", request.param)


def test_numpy_finds_the_same_files(index, model, processor, tmp_path):
    export(index, tmp_path / "out", "npy")
    [query] = Embedder(model, processor).texts(["green"])

    rows, columns = np.load(tmp_path / "out" / "rows.npy"), pq.read_table(tmp_path / "out" / "rows.parquet")

    best = np.argsort(-(rows @ query), kind="stable")[:5]
    found = [(columns["path"][int(place)].as_py(), columns["start"][int(place)].as_py()) for place in best]
    assert sorted(found, key=str) == sorted([(hit.path, hit.start) for hit in index.search("green", k=5)], key=str)
    assert rows.dtype == np.float32


def test_qdrant_finds_the_same_files(index, model, processor, tmp_path):
    from qdrant_client import QdrantClient

    export(index, tmp_path / "out", "qdrant")
    [query] = Embedder(model, processor).texts(["green"])

    client = QdrantClient(path=str(tmp_path / "out"))
    found = client.query_points("vljepa", query=query.tolist(), limit=5).points
    client.close()

    right = index.search("green", k=5)
    places = [(one.payload["path"], one.payload["start"]) for one in found]
    assert sorted(places, key=str) == sorted([(hit.path, hit.start) for hit in right], key=str)
    assert [one.score for one in found] == pytest.approx([hit.score for hit in right], abs=1e-5)


def test_back_again_it_is_the_same_index(exported, index, model, processor, tmp_path, images):
    shutil.rmtree(images)  # it needs no files
    model.modes.clear()
    again = Index.build(model, processor, exported, output=tmp_path / "again.index")

    assert model.modes == []
    assert again.entries == index.entries
    np.testing.assert_allclose(np.concatenate(again.entries.blocks), np.concatenate(index.entries.blocks), atol=1e-6)
    assert [(hit.path, hit.start) for hit in again.search("blue", k=9)] == [
        (hit.path, hit.start) for hit in index.search("blue", k=9)
    ]


def test_another_models_rows_are_refused(exported, model, processor, tmp_path):
    model.identity = "trained on"
    with pytest.raises(TextSpaceError, match=r"was made by another model \(colour model\)"):
        Index.build(model, processor, exported, output=tmp_path / "again.index")
    model.identity, model.space = "colour model", "moved"
    with pytest.raises(TextSpaceError, match="text space colours"):
        Index.build(model, processor, exported)
    assert not (tmp_path / "again.index" / "manifest.json").exists()


def test_a_plain_array_is_refused(index, model, processor, tmp_path):
    np.save(tmp_path / "rows.npy", np.eye(3, dtype=np.float32))
    with pytest.raises(DataError, match=r"of which files and of which model its rows are.*vljepa export"):
        Index.build(model, processor, tmp_path / "rows.npy")
    assert not holds_rows(tmp_path)


def forge(folder, **changes):
    about = json.loads((folder / "rows.json").read_text())
    (folder / "rows.json").write_text(json.dumps(about | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda out: np.save(out / "rows.npy", np.zeros((25, 3))), "float64"),
        (lambda out: np.save(out / "rows.npy", np.zeros((7, 3), np.float32)), r"not float32 \[25, 3\]"),
        (lambda out: np.save(out / "rows.npy", np.array([{}] * 3), allow_pickle=True), "rows.npy' is not a sound part"),
        (lambda out: np.save(out / "rows.npy", np.ones((25, 3), np.float32)), "not of unit length"),
        (lambda out: (out / "rows.npy").write_bytes(b""), "rows.npy' is not a sound part"),
        (lambda out: (out / "rows.parquet").unlink(), "is not a sound part"),
        (lambda out: forge(out, rows=5), "it lists 5 rows, and there are 25"),
        (lambda out: forge(out, version=2), "version 2"),
        (lambda out: forge(out, header={}), "ValueError"),
        (lambda out: forge(out, form="csv"), "'csv'"),
    ],
)
def test_what_is_damaged_is_refused(index, tmp_path, damage, message):
    out = export(index, tmp_path / "out", "npy")
    assert len(index) == 25
    damage(out)
    with pytest.raises(DataError, match=message):
        read_rows(out)


def test_paths_that_leave_the_folder_are_refused(index, tmp_path):
    out = export(index, tmp_path / "out", "npy")
    table = pq.read_table(out / "rows.parquet")
    paths = ["../../etc/passwd", *table["path"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, "path", [paths]), out / "rows.parquet")
    with pytest.raises(DataError, match="leaves the indexed folder"):
        read_rows(out)


def test_a_collection_of_others_is_refused(index, tmp_path):
    out = export(index, tmp_path / "out", "npy")
    forge(out, form="qdrant")
    with pytest.raises(DataError, match="has no collection 'vljepa'"):
        read_rows(out)


def test_without_qdrant(index, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    with pytest.raises(ConfigError, match=r"vljepa-torch\[qdrant\]"):
        write_qdrant(index.entries, tmp_path / "out")


@pytest.mark.parametrize("form", ["npy", "qdrant"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 22, 24])
def test_the_segments_of_a_video_stay_together(index, model, processor, tmp_path, monkeypatch, form, size):
    """Wherever the border between two pieces lies; a file that is parted would lose what is before the border."""
    out = export(index, tmp_path / form, form)
    monkeypatch.setattr(exchange, "LARGE", size)
    monkeypatch.setattr(qdrant, "_BATCH", size)
    tables = read_rows(out)[1].tables.values()
    assert len(tables) >= min(3, len(index) // size)
    paths = [set(table["path"].to_pylist()) for table in tables]
    assert sum(map(len, paths)) == len(set.union(*paths)), "no file is in two pieces"
    again = Index.build(model, processor, out, output=tmp_path / "again.index")
    assert sorted(again.entries, key=str) == sorted(index.entries, key=str)


def test_a_name_that_is_no_unicode(model, processor, tmp_path):
    (tmp_path / "files").mkdir()
    try:
        Image.new("RGB", (2, 2), "red").save(Path(f"{tmp_path}/files/a\udcff.png"))
    except OSError:
        return  # this file system takes no such names
    index = Index.build(model, processor, tmp_path / "files")
    assert list(read_rows(export(index, tmp_path / "npy", "npy"))[1]) == list(index.entries)
    with pytest.raises(DataError, match="not Unicode"):
        export(index, tmp_path / "qdrant", "qdrant")
