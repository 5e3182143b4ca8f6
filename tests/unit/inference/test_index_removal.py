"""Taking files out of an index: gone from what is found and from the disk."""

import numpy as np
import pytest
from PIL import Image

from vljepa.errors import ConfigError, DataError
from vljepa.inference.index import Index, finding, settle, units


def held(index):
    return sorted({entry.path for entry in index.entries})


def on_disk(folder):
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.fixture
def mixed(model, processor, images, animation, tmp_path):
    """Index on the disk of the images beside an animation."""
    animation("images/clip.gif", ("blue", 2), ("green", 1))
    return Index.build(model, processor, images, output=tmp_path / "my.index")


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("deep", ["clip.gif", "green.jpg", "red.png"]),
        ("clip.gif", ["deep/blue.webp", "green.jpg", "red.png"]),
        (["*.png", "deep/*"], ["clip.gif", "green.jpg"]),
    ],
)
def test_what_is_removed_is_gone_from_results_and_from_the_disk(mixed, model, processor, tmp_path, pattern, left):
    before = held(mixed)
    removed = mixed.remove(pattern)

    assert removed == len(before) - len(left)
    for index in (mixed, Index.load(model, processor, tmp_path / "my.index")):
        assert held(index) == left
        assert {hit.path for hit in index.search("green", k=9)} == set(left)
    content = on_disk(tmp_path / "my.index")
    assert {path for path in before if path.encode() in content} == set(left)


def test_only_shards_that_had_something_are_written(model, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(settle, "SMALL", 4)
    monkeypatch.setattr(settle, "LARGE", 8)
    monkeypatch.setattr(units, "IMAGES", 8)
    (tmp_path / "files").mkdir()
    for number in range(24):
        Image.new("RGB", (2, 2), (number + 1, 0, 0)).save(tmp_path / "files" / f"{number:02}.png")
    index = Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
    shards = tmp_path / "my.index" / "shards"
    before = {one.name: one.stat().st_mtime_ns for one in shards.iterdir()}

    assert index.remove("09.png") == 1

    after = {one.name: one.stat().st_mtime_ns for one in shards.iterdir()}
    assert (len(before), len(after), len(before.items() & after.items())) == (3, 3, 2)
    again = Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
    assert (again.unchanged, len(again)) == (23, 24), "the file is still there"


def test_an_index_in_memory(model, processor, images):
    index = Index.build(model, processor, images)
    assert index.remove("red.png") == 1
    assert held(index) == ["deep/blue.webp", "green.jpg"]
    assert len(index.search("red", k=9)) == 2


@pytest.mark.parametrize("approximate", ["auto", "keep"])
def test_faiss_has_nothing_of_it_unless_it_is_kept(model, processor, tmp_path, monkeypatch, approximate):
    """The row of what is removed is looked for in the file of faiss itself."""
    monkeypatch.setattr(finding, "names_to_ask_for", lambda: ["green", "red"])
    (tmp_path / "files").mkdir()
    for number in range(12):
        Image.new("RGB", (2, 2), (20 * number + 3, 255 - 20 * number, 99)).save(tmp_path / "files" / f"{number:02}.png")
    index = Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index", approximate="HNSW4")
    row = index.entries.rows(np.array([5])).tobytes()
    assert row in on_disk(tmp_path / "my.index")

    index.remove("05.png", approximate=approximate)

    assert (row in on_disk(tmp_path / "my.index")) is (approximate == "keep")
    for one in (index, Index.load(model, processor, tmp_path / "my.index")):
        assert one.manifest.approximate.factory == "HNSW4"
        assert one.approximate is not None
        assert sorted(hit.path for hit in one.search("green", k=12)) == [f"{n:02}.png" for n in range(12) if n != 5]


def test_what_faiss_is_to_build_then_may_be_given(model, processor, images, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "names_to_ask_for", lambda: ["green", "red"])
    output = tmp_path / "my.index"
    index = Index.build(model, processor, images, output=output, approximate="HNSW4")
    with pytest.raises(ConfigError, match="Nope"):
        index.remove("red.png", approximate="Nope")
    assert len(index) == 3, "what failed has changed nothing"
    index.remove("red.png", approximate="HNSW8")
    assert Index.load(model, processor, output).manifest.approximate.factory == "HNSW8"
    index.remove("green.jpg", approximate=None)
    assert Index.load(model, processor, output).manifest.approximate is None


def test_what_matches_nothing_or_all_changes_nothing(mixed, tmp_path):
    before = on_disk(tmp_path / "my.index")
    with pytest.raises(DataError, match=r"no file of the index matches '\*\.tiff'"):
        mixed.remove(["red.png", "*.tiff"])
    with pytest.raises(DataError, match="is all that the index holds"):
        mixed.remove("*")
    with pytest.raises(ConfigError, match="nothing to remove"):
        mixed.remove([])
    assert on_disk(tmp_path / "my.index") == before


def test_an_index_that_has_changed_meanwhile_is_left_alone(mixed, model, processor, images, tmp_path):
    Image.new("RGB", (9, 9), "#0000ff").save(images / "new.png")
    Index.build(model, processor, images, output=tmp_path / "my.index")
    with pytest.raises(DataError, match="has changed meanwhile"):
        mixed.remove("red.png")
    assert "new.png" in held(Index.load(model, processor, tmp_path / "my.index"))
