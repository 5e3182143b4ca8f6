"""Layouts that people have: which rows and which texts come out, what is passed over, and what is refused."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.layouts import COLOURS, png, read, write_png, write_pngs, write_table
from vljepa.data.checking import check_data
from vljepa.errors import DataError

CARDS = [(colour, (f"a {colour} card",), "") for colour in COLOURS]
ROWS = [["image", "caption"], *([f"{colour}.png", f"a {colour} card"] for colour in COLOURS)]
CAPTION = {"text": "caption"}


def checked(path, **settings):
    return check_data(str(path), max_pixels=1_000, **settings)


@pytest.mark.parametrize("name", ["Captions.CSV", "captions.txt", "metadata.csv", "METADATA.Tsv", "anything.csv"])
def test_a_table_is_found_whatever_its_name_is_written_like(tmp_path, name):
    write_pngs(tmp_path)
    write_table(tmp_path / name, ROWS, "\t" if name.endswith("Tsv") else ",")
    assert read(tmp_path, columns=CAPTION) == (CARDS, "")


def test_compressed_tables_and_other_encodings(tmp_path):
    write_pngs(tmp_path)
    text = "".join(",".join(row) + "\r\n" for row in ROWS)
    with gzip.open(tmp_path / "rows.csv.gz", "wt", newline="") as file:
        file.write(text)
    (tmp_path / "excel.csv").write_text("sep=;\r\n" + text.replace(",", ";"), encoding="utf-16")
    lines = "".join(json.dumps({"image": image, "caption": said}) + "\n" for image, said in ROWS[1:])
    (tmp_path / "rows.ndjson").write_text(lines)
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.write(lines)
    for name in ("rows.csv.gz", "excel.csv", "rows.ndjson", "rows.jsonl.gz"):
        assert read(tmp_path / name, columns=CAPTION) == (CARDS, ""), name
    (tmp_path / "rows.csv.gz").write_bytes((tmp_path / "rows.csv.gz").read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "rows.csv.gz", columns=CAPTION)


def test_flickr_30k_with_pipes_and_a_row_that_lacks_one(tmp_path):
    """As `results.csv` is: blanks around the pipes, and one row of 158,915 without the last."""
    write_pngs(tmp_path)
    rows = ["image_name| comment_number| comment", "red.png| 0| a red card", "green.png| 4   a green card"]
    (tmp_path / "results.csv").write_text("\n".join(rows))
    report = checked(tmp_path)
    assert report.columns == {"image": "image_name", "text": "comment"}
    assert [one["text"] for one in report.samples] == [["a red card"]]
    assert report.skipped == {"row 2": "2 fields, and the header has 3"}
    assert report.unused == ["comment_number"]


def test_flickr_8k_token_files_have_an_image_once(tmp_path):
    write_pngs(tmp_path)
    lines = [f"{colour}.png#{number}\ta {colour} card {number} ." for colour in COLOURS for number in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join([*lines, "no token"]))
    rows, skipped = read(tmp_path)
    assert rows == [(colour, (f"a {colour} card 0 .", f"a {colour} card 1 ."), "") for colour in COLOURS]
    assert "row 7 (no image with the number of its caption" in skipped


def test_backslashes_of_windows(tmp_path):
    write_pngs(tmp_path / "images")
    write_table(tmp_path / "rows.csv", [["image", "caption"], ["images\\red.png", "a red card"]])
    assert read(tmp_path / "rows.csv", columns=CAPTION)[0] == CARDS[:1]
    for path in ("C:\\images\\red.png", "..\\red.png", "\\\\host\\red.png", "c:/red.png"):
        write_table(tmp_path / "rows.csv", [["image", "caption"], [path, "x"]])
        with pytest.raises(DataError, match=r"absolute path|leads outside"):
            read(tmp_path / "rows.csv", columns=CAPTION)


def test_a_file_whose_name_has_a_backslash_is_that_file(tmp_path):
    write_png(tmp_path / "a\\red.png", "red")
    write_png(tmp_path / "a" / "red.png", "blue")
    write_table(tmp_path / "rows.csv", [["image", "caption"], ["a\\red.png", "a red card"]])
    assert read(tmp_path / "rows.csv", columns=CAPTION)[0] == CARDS[:1]


STRAY = {
    "in the middle": ['red.png,"a 5" disk', "green.png,a green card", 'blue.png,"a blue card"'],
    "never closed": ['red.png,"a disk', "green.png,a green card", "blue.png,a blue card"],
    "closed by another": ['red.png,"a disk', "green.png,a green card", "blue.png,a blue card", 'green.png,"5"" disk"'],
    "closed at a line's end": ['red.png,"a disk', "green.png,a green card", "blue.png,a blue card", 'red.png,5"'],
}


@pytest.mark.parametrize("lines", STRAY.values(), ids=STRAY)
def test_a_stray_quote_swallows_no_rows(tmp_path, lines):
    write_pngs(tmp_path)
    (tmp_path / "rows.csv").write_text("\n".join(["image,caption", *lines]))
    rows, skipped = read(tmp_path / "rows.csv", columns=CAPTION)
    assert rows[:2] == CARDS[1:]
    assert len(rows) == len(lines) - 1
    assert "row 1 (a quote that is not closed" in skipped


def test_quotes_that_are_right_may_hold_lines_and_delimiters(tmp_path):
    write_pngs(tmp_path)
    said = ["a card,\nred, big", 'a "green" card', "x" * 200_000]
    rows = [[f"{colour}.png", text] for colour, text in zip(COLOURS, said, strict=True)]
    write_table(tmp_path / "a.csv", [["image", "caption"], *rows])
    write_table(tmp_path / "b.csv", [["caption", "image"], *([text, image] for image, text in rows)])
    for name in ("a.csv", "b.csv"):
        found, skipped = read(tmp_path / name, columns=CAPTION)
        assert [texts[0] for _, texts, _ in found] == said
        assert skipped == ""


def test_quotes_between_tabs_may_be_of_the_text(tmp_path):
    write_pngs(tmp_path)
    (tmp_path / "a.tsv").write_text('image\tcaption\nred.png\t"red" it says\ngreen.png\t"a green card"\n')
    rows, _ = read(tmp_path / "a.tsv", columns=CAPTION)
    assert [texts for _, texts, _ in rows] == [('"red" it says',), ("a green card",)]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_a_column_name_twice_is_refused(tmp_path, name):

    (tmp_path / "rows.csv").write_text("image,text,text\na.png,b,c\n")
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "text": "b", "text": "c"}')
    pq.write_table(pa.table([["a.png"], ["b"], ["c"]], names=["image", "text", "text"]), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"'text'.* twice"):
        read(tmp_path / name)


def test_columns_that_differ_in_case_alone_are_not_guessed(tmp_path):
    (tmp_path / "rows.csv").write_text("image,Text,text\na.png,b,c\n")
    with pytest.raises(DataError, match="'Text' and 'text' have the same name"):
        checked(tmp_path / "rows.csv")


def write_parquet(path, table, features=None):

    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.table(table)
    if features is not None:
        made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(made, path)


LABELS = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
LISTED = {"label": {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "Sequence"}}


def test_class_labels_in_parquet_are_names(tmp_path):
    images = [png(colour) for colour in COLOURS]
    write_parquet(tmp_path / "a.parquet", {"image": images, "label": [1, 0, -1]}, LABELS)
    rows, skipped = read(tmp_path / "a.parquet", columns={"text": "label"})
    assert rows == [("red", ("dog",), ""), ("green", ("cat",), "")]
    assert "row 3 (the column 'label' is empty)" in skipped
    write_parquet(tmp_path / "b.parquet", {"image": images[:1], "label": [[1, 0]]}, LISTED)
    assert read(tmp_path / "b.parquet", columns={"text": "label"})[0] == [("red", ("dog", "cat"), "")]
    write_parquet(tmp_path / "c.parquet", {"image": images, "label": [1, 0, 1]})
    assert "all texts are numbers" in checked(tmp_path / "c.parquet").notes[0]
    assert checked(tmp_path / "a.parquet").notes == []


def test_class_labels_that_datasets_itself_wrote(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [{"bytes": png("red"), "path": None}] * 2, "label": [1, 0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    assert [texts for _, texts, _ in read(tmp_path / "a.parquet", columns={"text": "label"})[0]] == [("dog",), ("cat",)]


def test_two_columns_of_images(tmp_path):
    table = {"mask": [png("blue")], "image": [png("red")], "caption": ["a red card"]}
    write_parquet(tmp_path / "a.parquet", table)
    report = checked(tmp_path / "a.parquet")
    assert (report.columns["image"], report.unused) == ("image", ["mask"])
    assert read(tmp_path / "a.parquet", columns=CAPTION)[0] == CARDS[:1]
    (tmp_path / "a.parquet").rename(tmp_path / "A.PARQUET")
    assert read(tmp_path / "A.PARQUET", columns=CAPTION)[0] == CARDS[:1]
    write_parquet(tmp_path / "b.parquet", {"left": [png("blue")], "right": [png("red")], "caption": ["a red card"]})
    with pytest.raises(DataError, match="'left' and 'right' both hold images"):
        checked(tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet", columns=CAPTION | {"image": "right"})[0] == CARDS[:1]
