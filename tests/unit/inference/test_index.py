import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.errors import ConfigError, DataError, ImageError, TextSpaceError, VideoError
from vljepa.inference.index import Index, approximate, finding


@pytest.fixture
def index(model, processor, images):
    return Index.build(model, processor, images)


def test_build_walks_and_names_what_it_skips(index, images):
    assert [entry.path for entry in index.entries] == ["deep/blue.webp", "green.jpg", "red.png"]
    assert [entry.size for entry in index.entries] == [(images / e.path).stat().st_size for e in index.entries]
    assert len(index) == 3
    [skipped] = index.skipped
    assert skipped.path == "broken.png"
    assert "not a readable image" in skipped.reason


def test_search_by_text(index):
    best, *_ = hits = index.search("green")

    assert best.path == "green.jpg"
    assert best.score == pytest.approx(1, abs=1e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 3
    assert len(index.search("green", k=2)) == 2


@pytest.mark.parametrize("as_path", [True, False])
def test_search_by_image(index, images, as_path):
    query = images / "deep" / "blue.webp" if as_path else Image.new("RGB", (2, 2), "#0000ff")

    [best] = index.search(query, k=1)

    assert best.path == "deep/blue.webp"
    assert best.score == pytest.approx(1, abs=1e-6)


def test_equal_scores_come_in_the_order_of_paths(model, processor, tmp_path):
    """So many that a sort that is not stable would show."""
    for number in range(60):
        Image.new("RGB", (2, 2), "red" if number % 2 else "green").save(tmp_path / f"{number:02}.png")

    hits = Index.build(model, processor, tmp_path).search("red", k=60)

    assert [hit.path for hit in hits[:30]] == [f"{number:02}.png" for number in range(1, 60, 2)]
    assert [hit.path for hit in hits[30:]] == [f"{number:02}.png" for number in range(0, 60, 2)]


def test_a_score_of_just_the_minimum_is_found(index):
    hits = index.search(Image.new("RGB", (2, 2), (200, 100, 0)))
    scores = [hit.score for hit in hits]
    assert 0 < scores[1] < scores[0] < 1
    assert len(index.search(Image.new("RGB", (2, 2), (200, 100, 0)), min_score=scores[1])) == 2
    assert len(index.search(Image.new("RGB", (2, 2), (200, 100, 0)), min_score=scores[1] + 1e-4)) == 1


def test_search_is_the_exact_order_of_cosines(model, processor, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(40):
        Image.new("RGB", (2, 2), tuple(map(int, generator.integers(1, 256, 3)))).save(tmp_path / f"{number:02}.png")
    index = Index.build(model, processor, tmp_path)

    colours = np.array([Image.open(tmp_path / f"{n:02}.png").getpixel((0, 0)) for n in range(40)], dtype=float)
    red = (colours / np.linalg.norm(colours, axis=1, keepdims=True))[:, 0]

    assert [hit.path for hit in index.search("red", k=40)] == [f"{n:02}.png" for n in np.argsort(-red, kind="stable")]


def test_saved_and_loaded_it_answers_the_same(index, model, processor, images, tmp_path):
    file = tmp_path / "images.index"
    index.save(file)

    loaded = Index.load(model, processor, file)

    assert loaded.search("green") == index.search("green")
    assert loaded.entries == index.entries
    assert loaded.folder == images.resolve()
    assert sorted(path.name for path in file.iterdir()) == [".lock", "manifest.json", "shards"]
    assert len(list((file / "shards").iterdir())) == 1


def test_an_index_of_another_text_space_is_refused(index, model, processor, tmp_path):
    index.save(tmp_path / "images.index")
    model.space = "moved"

    with pytest.raises(TextSpaceError, match=r"text space colours.*text space moved"):
        Index.load(model, processor, tmp_path / "images.index")


def test_an_index_of_another_model_in_the_same_text_space_is_refused(index, model, processor, tmp_path):
    index.save(tmp_path / "images.index")
    model.identity = "trained on"

    with pytest.raises(TextSpaceError, match=r"colour model.*trained on.*build the index again"):
        Index.load(model, processor, tmp_path / "images.index")


def test_rows_of_another_width_than_the_model_that_the_header_names_are_refused(index, model, processor, tmp_path):
    index.save(tmp_path / "images.index")
    model.config.embed_dim = 4

    with pytest.raises(DataError, match="rows have 3 numbers, and those of its model have 4"):
        Index.load(model, processor, tmp_path / "images.index")


def test_unusable_queries(index, tmp_path):
    with pytest.raises(ConfigError, match="query is empty"):
        index.search("  ")
    with pytest.raises(ConfigError, match="k is 0"):
        index.search("red", k=0)
    with pytest.raises(ImageError):
        index.search(tmp_path / "none.png")


def test_a_folder_of_broken_images_only(model, processor, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(DataError, match="none of the 1 files"):
        Index.build(model, processor, tmp_path)


def test_an_image_that_is_removed_while_indexing_does_not_cost_the_index(model, processor, images, monkeypatch):
    def embed_then_remove(*args, real=model.predict):
        (images / "red.png").unlink(missing_ok=True)
        return real(*args)

    monkeypatch.setattr(model, "predict", embed_then_remove)

    index = Index.build(model, processor, images)

    assert {Path(entry.path).name: entry.size > 0 for entry in index.entries}["red.png"] is False


@pytest.fixture
def mixed(model, processor, images, animation):
    """Index of the images beside an animation of five scenes and a file that is no video."""
    animation("images/clip.gif", ("blue", 2), ("green", 1), ("blue", 1), ("red", 1), ("green", 2))
    (images / "broken.mp4").write_bytes(b"not a video")
    return Index.build(model, processor, images)


def test_videos_are_indexed_by_segments_among_images(mixed):
    found = [(entry.path, entry.start, entry.end) for entry in mixed.entries]

    scenes = [("clip.gif", *span) for span in ((0, 2), (2, 3), (3, 4), (4, 5), (5, 7))]
    assert found == [*scenes, ("deep/blue.webp", None, None), ("green.jpg", None, None), ("red.png", None, None)]
    assert [(skipped.path, skipped.partly) for skipped in mixed.skipped] == [
        ("broken.mp4", False),
        ("broken.png", False),
    ]


def test_a_hit_is_a_segment(mixed):
    segment, image, *_ = mixed.search("red")  # equal scores in the order of paths

    assert (image.path, image.start, image.end, image.time) == ("red.png", None, None, None)
    assert (segment.path, segment.start, segment.end) == ("clip.gif", 4, 5)
    assert 4 <= segment.time < 5
    assert segment.score == pytest.approx(1, abs=1e-3)


def test_segments_of_one_video_can_be_limited_to_the_best(mixed):
    def segments(**options):
        return [hit.start for hit in mixed.search("green", k=8, **options) if hit.start is not None]

    assert sorted(segments()) == [0, 2, 3, 4, 5]
    assert segments(per_video=1) == [2]
    assert segments(per_video=2) == [2, 5]
    assert len(mixed.search("green", k=2, per_video=1)) == 2
    with pytest.raises(ConfigError, match="per_video is 0"):
        mixed.search("green", per_video=0)


def test_a_loaded_index_has_the_times(mixed, model, processor, tmp_path):
    mixed.save(tmp_path / "mixed.index")

    loaded = Index.load(model, processor, tmp_path / "mixed.index")

    assert loaded.entries == mixed.entries
    assert loaded.search("red") == mixed.search("red")


def test_a_video_that_breaks_off_is_named_and_found_as_far_as_it_goes(model, processor, tmp_path):
    whole = write_video(tmp_path / "cut.mkv", count=40, fps=10)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])

    index = Index.build(model, processor, whole)

    assert len(index) > 0
    [skipped] = index.skipped
    assert (skipped.path, skipped.partly) == ("cut.mkv", True)


def test_files_that_are_done_are_counted_videos_too(model, processor, images, animation):
    animation("images/story.gif", ("blue", 2), ("green", 1))
    done = []

    Index.build(model, processor, images, progress=done.append)

    assert sum(done) == 5  # one of them broken


def test_without_pyav_video_files_are_refused_at_once_and_animations_are_not(
    model, processor, images, animation, monkeypatch
):
    animation("images/story.gif", ("blue", 2), ("green", 1))
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(Index.build(model, processor, images)) == 5

    (images / "clip.mp4").write_bytes(b"any")
    monkeypatch.setattr(model, "predict", None)  # not reached
    with pytest.raises(VideoError, match="PyAV does not load"):
        Index.build(model, processor, images)


def test_a_query_of_another_width_is_refused(index):
    with pytest.raises(ConfigError, match=r"the query has the shape \(4,\)"):
        index.nearest(np.ones(4, np.float32))


def test_what_faiss_cannot_build_is_said_before_anything_is_embedded(model, processor, images, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "predict", None)
    for factory, message in (("Nope", "knows no index"), ("Flat", "is neither a graph")):
        with pytest.raises(ConfigError, match=message):
            Index.build(model, processor, images, output=tmp_path / "my.index", approximate=factory)


def test_without_faiss_search_is_exact(model, processor, images, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "names_to_ask_for", lambda: ["green", "red"])
    Index.build(model, processor, images, output=tmp_path / "my.index", approximate="HNSW4")
    with_faiss = Index.load(model, processor, tmp_path / "my.index")
    monkeypatch.setattr(approximate, "EXACT_BELOW", 1)
    monkeypatch.setattr(approximate, "installed", lambda: False)
    without = Index.load(model, processor, tmp_path / "my.index")
    assert with_faiss.approximate is not None
    assert without.approximate is None
    assert without.search("green") == with_faiss.search("green")
    assert Index.build(model, processor, images, output=tmp_path / "my.index").approximate is None


def test_what_faiss_has_is_kept_where_nothing_is_built(model, processor, images, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "names_to_ask_for", lambda: ["green", "red"])
    output = tmp_path / "my.index"
    Index.build(model, processor, images, output=output, approximate="HNSW4")
    Image.new("RGB", (9, 9), "#00ff00").save(images / "new.png")
    kept = Index.build(model, processor, images, output=output, approximate="keep")
    assert kept.manifest.approximate is not None
    found = Index.load(model, processor, output).search("green", k=2)
    assert {hit.path for hit in found} == {"green.jpg", "new.png"}
