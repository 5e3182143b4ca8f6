from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vljepa.errors import ConfigError, DataError, ImageError, TextSpaceError
from vljepa.inference.index import Index


@pytest.fixture
def index(model, processor, pictures):
    return Index.build(model, processor, pictures)


def test_build_walks_and_names_what_it_skips(index, pictures):
    assert [entry.path for entry in index.entries] == ["deep/blue.webp", "green.jpg", "red.png"]
    assert [entry.size for entry in index.entries] == [(pictures / e.path).stat().st_size for e in index.entries]
    assert len(index) == 3
    [skipped] = index.skipped
    assert skipped.path == "broken.png"
    assert "not a readable picture" in skipped.reason


def test_search_by_text(index):
    best, *_ = hits = index.search("green")

    assert best.path == "green.jpg"
    assert best.score == pytest.approx(1, abs=1e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 3
    assert len(index.search("green", k=2)) == 2


@pytest.mark.parametrize("as_path", [True, False])
def test_search_by_picture(index, pictures, as_path):
    query = pictures / "deep" / "blue.webp" if as_path else Image.new("RGB", (2, 2), "#0000ff")

    [best] = index.search(query, k=1)

    assert best.path == "deep/blue.webp"
    assert best.score == pytest.approx(1, abs=1e-6)


def test_equal_scores_come_in_the_order_of_paths(model, processor, tmp_path):
    for name in "dacb":
        Image.new("RGB", (2, 2), "red").save(tmp_path / f"{name}.png")

    hits = Index.build(model, processor, tmp_path).search("red")

    assert [hit.path for hit in hits] == ["a.png", "b.png", "c.png", "d.png"]


def test_search_is_the_exact_order_of_cosines(model, processor, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(40):
        Image.new("RGB", (2, 2), tuple(map(int, generator.integers(1, 256, 3)))).save(tmp_path / f"{number:02}.png")
    index = Index.build(model, processor, tmp_path)

    colours = np.array([Image.open(tmp_path / f"{n:02}.png").getpixel((0, 0)) for n in range(40)], dtype=float)
    red = (colours / np.linalg.norm(colours, axis=1, keepdims=True))[:, 0]

    assert [hit.path for hit in index.search("red", k=40)] == [f"{n:02}.png" for n in np.argsort(-red, kind="stable")]


def test_saved_and_loaded_it_answers_the_same(index, model, processor, pictures, tmp_path):
    file = tmp_path / "pictures.index"
    index.save(file)

    loaded = Index.load(model, processor, file)

    assert loaded.search("green") == index.search("green")
    assert loaded.entries == index.entries
    assert loaded.folder == pictures.resolve()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["pictures.index"]


def test_an_index_of_another_text_space_is_refused(index, model, processor, tmp_path):
    index.save(tmp_path / "pictures.index")
    model.space = "moved"

    with pytest.raises(TextSpaceError, match=r"text space colours.*text space moved"):
        Index.load(model, processor, tmp_path / "pictures.index")


def test_an_index_of_another_model_in_the_same_text_space_is_refused(index, model, processor, tmp_path):
    index.save(tmp_path / "pictures.index")
    model.identity = "trained on"

    with pytest.raises(TextSpaceError, match=r"colour model.*trained on.*build the index again"):
        Index.load(model, processor, tmp_path / "pictures.index")


def test_unusable_queries(index, tmp_path):
    with pytest.raises(ConfigError, match="query is empty"):
        index.search("  ")
    with pytest.raises(ConfigError, match="k is 0"):
        index.search("red", k=0)
    with pytest.raises(ImageError):
        index.search(tmp_path / "none.png")


def test_a_folder_of_broken_pictures_only(model, processor, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(DataError, match="none of the 1 files"):
        Index.build(model, processor, tmp_path)


def test_a_picture_that_is_removed_while_indexing_does_not_cost_the_index(model, processor, pictures, monkeypatch):
    def embed_then_remove(*args, real=model.predict):
        (pictures / "red.png").unlink(missing_ok=True)
        return real(*args)

    monkeypatch.setattr(model, "predict", embed_then_remove)

    index = Index.build(model, processor, pictures)

    assert {Path(entry.path).name: entry.size > 0 for entry in index.entries}["red.png"] is False
