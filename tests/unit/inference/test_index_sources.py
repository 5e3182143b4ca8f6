"""What an index is made of beside files and folders: data files and other indexes."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vljepa.errors import DataError, TextSpaceError
from vljepa.inference.index import Index

COLOURS = {"red": "#ff0000", "green": "#00ff00", "blue": "#0000ff"}


def png(colour):
    content = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def tar(tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        for name, colour in COLOURS.items():
            for member, content in ((f"{name}.png", png(colour)), (f"{name}.txt", name.encode())):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return tmp_path / "some.tar"


@pytest.fixture
def parquet(tmp_path):
    rows = [{"bytes": png(colour), "path": f"{name}.png"} for name, colour in COLOURS.items()]
    rows.append({"bytes": b"no image", "path": "broken.png"})
    pq.write_table(pa.table({"image": rows, "text": [*COLOURS, "broken"]}), tmp_path / "some.parquet")
    return tmp_path / "some.parquet"


def test_images_of_a_tar(model, processor, tar):
    index = Index.build(model, processor, tar)

    assert [one.path for one in index.entries] == [f"some.tar/{name}.png" for name in ("blue", "green", "red")]
    assert index.search("green")[0].path == "some.tar/green.png"
    assert index.search("green")[0].score == pytest.approx(1, abs=1e-3)


def test_images_of_a_table_beside_files(model, processor, parquet, images, tmp_path):
    index = Index.build(model, processor, [parquet, images])

    inside = [f"some.parquet[{row}].image" for row in range(3)]
    assert {one.path for one in index.entries} == {*inside, *(f"images/{name}" for name in
                                                             ("deep/blue.webp", "green.jpg", "red.png"))}  # fmt: skip
    assert sorted(one.path for one in index.skipped) == ["images/broken.png", "some.parquet[3].image"]
    assert {hit.path for hit in index.search("green", k=2)} == {"images/green.jpg", inside[1]}


def test_a_data_file_is_known_until_it_changes(model, processor, tar, parquet, tmp_path):
    first = Index.build(model, processor, [tar, parquet], output=tmp_path / "my.index")
    assert Index.build(model, processor, [tar, parquet], output=tmp_path / "my.index").unchanged == len(first) == 6
    pq.write_table(pa.table({"image": [{"bytes": png("red"), "path": "a"}], "text": ["a"]}), parquet)
    again = Index.build(model, processor, [tar, parquet], output=tmp_path / "my.index")
    assert (again.unchanged, again.gone, len(again)) == (3, 2, 4)


def test_a_table_without_images(model, processor, tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "red"}\n')
    with pytest.raises(DataError):
        Index.build(model, processor, tmp_path / "texts.jsonl")


def test_indexes_merge_wherever_their_files_lie(model, processor, images, tar, tmp_path, monkeypatch):
    Index.build(model, processor, images, output=tmp_path / "a.index")
    Index.build(model, processor, tar, output=tmp_path / "b.index")
    (images / "red.png").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    both = Index.build(model, processor, [tmp_path / "a.index", tmp_path / "b.index"], output=tmp_path / "all.index")

    assert both.folder == tmp_path
    assert {one.path for one in both.entries} == {
        *(f"images/{name}" for name in ("deep/blue.webp", "green.jpg", "red.png")),
        *(f"some.tar/{name}.png" for name in COLOURS),
    }
    assert Index.load(model, processor, tmp_path / "all.index").entries == both.entries


def test_an_index_of_another_model_does_not_merge(model, processor, images, tmp_path):
    Index.build(model, processor, images, output=tmp_path / "a.index")
    model.identity = "trained on"
    with pytest.raises(TextSpaceError):
        Index.build(model, processor, tmp_path / "a.index", output=tmp_path / "b.index")


def test_a_pattern_of_data_files(model, processor, tar, tmp_path):
    assert len(Index.build(model, processor, str(tmp_path / "*.tar"))) == 3


def test_merging_keeps_what_is_there_and_each_file_once(model, processor, images, tmp_path):
    Index.build(model, processor, images, output=tmp_path / "a.index")
    Image.new("RGB", (9, 9), COLOURS["blue"]).save(images / "red.png")
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "same.jpg").write_bytes((images / "green.jpg").read_bytes())

    both = Index.build(
        model, processor, [tmp_path / "a.index", tmp_path / "a.index", images, tmp_path / "copies"],
        output=tmp_path / "b.index",
    )  # fmt: skip

    assert sorted(one.path for one in both.entries) == [
        "copies/same.jpg",
        *(f"images/{name}" for name in ("deep/blue.webp", "green.jpg", "red.png")),
    ]
    assert {hit.path for hit in both.search("blue", k=2)} == {"images/red.png", "images/deep/blue.webp"}


def test_videos_that_were_cut_otherwise_do_not_merge(model, processor, animation, tmp_path):
    animation("images/clip.gif", ("blue", 2), ("green", 1))
    Index.build(model, processor, tmp_path / "images", output=tmp_path / "a.index", threshold=100)
    with pytest.raises(DataError, match="were cut otherwise"):
        Index.build(model, processor, tmp_path / "a.index", output=tmp_path / "b.index")
