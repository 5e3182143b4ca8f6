"""Faults that users of this field's tools reported over tables and archives, rebuilt small; named by the public thread.

Images and towers are in `test_field_bugs.py`, videos in `test_field_bugs_videos.py`.
"""

import pytest

from tests.conftest import write_rows
from tests.layouts import COLOURS, png, read, write_png, write_pngs, write_table, write_tar
from tests.security.field_bugs import FieldBugs
from vljepa.configs import SourceConfig
from vljepa.data.checking import check_data
from vljepa.data.contents import content_of, known_by_content, repeated_contents
from vljepa.data.formats import find_data
from vljepa.data.sources import load_source
from vljepa.errors import DataError

CAP = 1_000_000
BUGS = FieldBugs()
bug = BUGS.reported


@bug("ComfyUI PR #16214")
def the_text_lies_beside_the_folder_of_its_image(tmp_path):
    """The caption would be empty, or the folder's name, without a word."""
    write_pngs(tmp_path / "images")
    (tmp_path / "red.txt").write_text("a red card")
    with pytest.raises(DataError, match=r"red\.txt' is called like an image, and lies beside the folder"):
        find_data(tmp_path)
    for colour in ("red", "green"):
        (tmp_path / "images" / f"{colour}.txt").write_text(f"a {colour} card\n")
    rows, skipped = read(tmp_path)
    assert rows == [("green", ("a green card",), ""), ("red", ("a red card",), "")]
    assert "images/blue.png has no text beside it" in skipped
    assert find_data(tmp_path).passed_over == ("1 texts without an image beside them",)


@bug("open_clip #144", "open_clip #789")
def commas_where_tabs_are_the_default(tmp_path):
    write_pngs(tmp_path)
    rows = [["filepath", "title"], *([f"{colour}.png", f"a {colour} card"] for colour in COLOURS)]
    for name, delimiter in (("a.tsv", ","), ("b.csv", "\t"), ("c.csv", ";"), ("d.csv", "|"), ("e.csv", ",")):
        write_table(tmp_path / name, rows, delimiter)
        found, skipped = read(tmp_path / name, columns={"image": "filepath", "text": "title"})
        assert found == [(colour, (f"a {colour} card",), "") for colour in COLOURS], name
        assert skipped == ""
        assert check_data(str(tmp_path / name), max_pixels=CAP).columns == {"image": "filepath", "text": "title"}


@bug("ms-swift PR #306")
def a_caption_that_is_a_float(tmp_path):
    """An empty cell, the word "nan", a number that is none: each is a row without a text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_pngs(tmp_path)
    (tmp_path / "a.csv").write_text("image,text\nred.png,\ngreen.png,nan\nblue.png,a blue card\n")
    lines = ['{"image": "red.png", "text": NaN}', '{"image": "green.png", "text": null}']
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"image": "blue.png", "text": "a blue card"}']))
    table = {"image": [f"{colour}.png" for colour in COLOURS], "text": [None, "NaN", "a blue card"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        rows, skipped = read(tmp_path / name)
        assert rows == [("blue", ("a blue card",), "")], name
        assert "skipped 2 of 3 rows" in skipped
        assert "row 1 (the column 'text' is empty); row 2 (" in skipped
        assert len(check_data(str(tmp_path / name), max_pixels=CAP).skipped) == 2
        with pytest.raises(DataError, match=r"2 of 3 rows of .*data\.max_skipped = 0\.01"):
            read(tmp_path / name, max_skipped=0.01)


@bug("docarray PR #1044")
def a_caption_is_split_at_its_comma(tmp_path):
    write_pngs(tmp_path)
    (tmp_path / "a.csv").write_text(
        'image,text\nred.png,"a card, red"\ngreen.png,a card, green\nblue.png,"say ""hi"""\n'
    )
    rows, skipped = read(tmp_path / "a.csv")
    assert rows == [("red", ("a card, red",), ""), ("blue", ('say "hi"',), "")]
    assert "row 2 (3 fields, and the header has 2: a text with a delimiter in it needs quotes)" in skipped


@bug("webdataset #237", "datasets #6880", "datasets #7732")
def names_in_a_tar_have_dots_or_are_in_upper_case(tmp_path):
    names = {"red": "a.b", "green": "a.c", "blue": "train.v1/1"}
    members = [(f"{name}.{ending}", content) for colour, name in names.items() for ending, content in (
        ("PNG", png(colour)), ("TXT", f"a {colour} card".encode()))]  # fmt: skip
    write_tar(tmp_path / "a.tar", members)
    assert read(tmp_path / "a.tar") == ([(colour, (f"a {colour} card",), "") for colour in COLOURS], "")
    parts = [("1.png", png("red")), ("1.mask.png", png("blue")), ("1.txt", b"a red card"), ("__MACOSX/._1.png", b"x")]
    write_tar(tmp_path / "parts.tar", parts)
    assert read(tmp_path / "parts.tar") == ([("red", ("a red card",), "")], "")
    write_tar(tmp_path / "two.tar", [("1.left.png", png("red")), ("1.right.png", png("blue")), ("1.txt", b"x")])
    with pytest.raises(DataError, match="two of image"):
        read(tmp_path / "two.tar")
    write_tar(tmp_path / "again.tar", [*parts[:3], *parts[:3]])
    assert len(read(tmp_path / "again.tar")[0]) == 2, "two tars that were put together"


@bug("datasets #6442", "datasets #7337")
def metadata_is_ignored(tmp_path):
    """Another name, another folder, beside a zip: read, or said, and never taken for classes."""
    rows = [["file_name", "text"], *([f"{colour}.png", f"a {colour} card"] for colour in COLOURS)]
    wanted = [(colour, (f"a {colour} card",), "") for colour in COLOURS]
    columns = {"image": "file_name"}
    for name in ("train/metadata.csv", "train/Metadata.CSV", "train/labels.csv"):
        folder = tmp_path / name.replace("/", " ")
        write_pngs(folder / "train")
        write_table(folder / name, rows)
        assert read(folder, columns=columns)[0] == wanted, name
        assert find_data(folder).splits == ("train",)
    outside = tmp_path / "outside"
    write_pngs(outside / "images")
    write_table(outside / "meta" / "metadata.csv", rows)
    report = check_data(str(outside), max_pixels=CAP)
    assert len(report.broken) == 3
    assert f"in {str(outside / 'images')!r}: give it with --root" in " ".join(report.notes)
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    (zipped / "images.zip").touch()
    with pytest.raises(DataError, match="unpack the zip"):
        find_data(zipped)
    with pytest.raises(DataError, match=r"is a zip.*unpack it"):
        find_data(zipped / "images.zip")
    write_table(zipped / "metadata.csv", rows)
    assert find_data(zipped).passed_over == ("images.zip: not read",)
    bare = tmp_path / "bare"
    write_pngs(bare / "train")
    with pytest.raises(DataError, match="lie in train, which are no classes"):
        find_data(bare)


@bug("img2dataset #244")
def a_image_per_caption(tmp_path):
    """COCO with a row per caption: each image would be a wrong answer to its own captions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["a card", "a red card", "a blue card"]
    table = {"image": [png(colour) for colour in ("red", "red", "blue")], "caption": texts}
    pq.write_table(pa.table(table), tmp_path / "bytes.parquet")
    pq.write_table(pa.table(table | {"url": ["u/1", "u/1", "u/2"]}), tmp_path / "urls.parquet")
    report = check_data(str(tmp_path / "urls.parquet"), max_pixels=CAP)
    assert report.columns["source_id"] == "url"
    ids = [one.source_id for one in load_source(SourceConfig.model_validate(report.source))]
    assert ids == ["u/1", "u/1", "u/2"]
    records = load_source(SourceConfig(name="s", path=str(tmp_path / "bytes.parquet"), columns={"text": "caption"}))
    assert len({one.source_id for one in records}) == 3, "the control"
    repeated = repeated_contents({one.image: content_of(one.image, {}) for one in records})
    known = [known_by_content(one, repeated) for one in records]
    assert known[0].source_id == known[1].source_id != known[2].source_id == records[2].source_id
    assert check_data(str(tmp_path / "bytes.parquet"), max_pixels=CAP).same_images == 1


@pytest.mark.parametrize("check", BUGS.values(), ids=BUGS)
def test_what_users_reported(check, tmp_path):
    check(tmp_path)


def test_an_identity_that_rows_have_is_kept(tmp_path):
    """Contents speak only for images without an identity of their own."""
    write_png(tmp_path / "a.png", "red")
    write_png(tmp_path / "b.png", "red")
    write_rows(
        tmp_path / "rows.jsonl", [{"image": "a.png", "text": "x", "source_id": "7"}, {"image": "b.png", "text": "y"}]
    )
    records = load_source(SourceConfig(name="s", path=str(tmp_path / "rows.jsonl")))
    repeated = repeated_contents({one.image: content_of(one.image, {}) for one in records})
    assert [known_by_content(one, repeated).source_id for one in records] == [
        "7",
        f"content {content_of(tmp_path / 'a.png', {})}",
    ]
