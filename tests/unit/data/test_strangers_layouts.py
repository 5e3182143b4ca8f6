"""Layouts that people have: which rows and which texts come out, what is passed over, and what is refused."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import write_rows
from tests.layouts import COLOURS, png, read, write_png, write_pngs, write_table
from vljepa.configs import SourceConfig
from vljepa.data.checking import check_data
from vljepa.data.formats import find_data
from vljepa.data.sources import load_source, read_source
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


def test_flickr_8k_token_files_have_a_image_once(tmp_path):
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
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    import pyarrow as pa
    import pyarrow.parquet as pq

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


def hub_layout(folder, *, of=2):
    for number, colour in enumerate(("red", "green")):
        table = {"image": [png(colour)], "caption": [f"a {colour} card"]}
        write_parquet(folder / "data" / f"train-{number:05}-of-{of:05}.parquet", table)
    table = {"image": [png("blue")], "caption": ["a blue card"]}
    write_parquet(folder / "data" / "validation-00000-of-00001-0123456789abcdef.parquet", table)
    (folder / "README.md").write_text("a card")
    return folder


def test_the_hub_s_own_layout_of_parts(tmp_path):
    folder = hub_layout(tmp_path / "hub")
    assert read(folder, columns=CAPTION) == (CARDS[:2], "")
    assert read(folder, columns=CAPTION, split="validation")[0] == CARDS[2:]
    assert read(folder / "data" / "train-*.parquet", columns=CAPTION)[0] == CARDS[:2]
    with pytest.raises(DataError, match="no split 'test': train, validation"):
        read(folder, split="test")
    report = checked(folder)
    assert (report.kind, report.split, report.rows, report.overlap) == ("parts", "train", 2, 0)
    assert report.validation == f"{folder}, split validation"
    assert report.passed_over == ["split validation: 1 files"]
    assert [texts for _, texts, _ in read(report.source["path"], columns=CAPTION)[0]] == [CARDS[0][1], CARDS[1][1]]
    (folder / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"has 1 of the 2 parts of 'train-00000-of-00002\.parquet'"):
        read(folder, columns=CAPTION)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["0000.parquet", "0001.parquet"], "parts"),
        (["part-00000.parquet", "part-00001.parquet"], "parts"),
        (["train_1.parquet", "train_2.parquet"], "parts"),
        (["captions_2017.parquet"], "parquet"),
    ],
)
def test_numbered_files_are_parts_and_a_year_is_none(tmp_path, names, kind):
    for name, colour in zip(names, COLOURS, strict=False):
        write_parquet(tmp_path / name, {"image": [png(colour)], "caption": [f"a {colour} card"]})
    assert find_data(tmp_path).kind == kind
    assert read(tmp_path, columns=CAPTION)[0] == CARDS[: len(names)]


def test_parquet_that_the_hub_has_made_is_found_one_level_up(tmp_path):
    """`default/train/0000.parquet` of the branch refs/convert/parquet."""
    folder = tmp_path / "downloaded" / "default"
    for split, colour in (("train", "red"), ("test", "blue")):
        (folder / split).mkdir(parents=True)
        write_parquet(folder / split / "0000.parquet", {"image": [png(colour)], "caption": [f"a {colour} card"]})
    for place in (folder, folder.parent):
        found = find_data(place)
        assert (found.split, set(found.splits), found.path.parent.name) == ("train", {"train", "test"}, "train")
        assert read(place, columns=CAPTION)[0] == CARDS[:1]
    assert find_data(folder.parent, split="test").path.parent.name == "test"


def test_llava_conversations_are_a_row_per_turn(tmp_path):
    write_pngs(tmp_path)
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Blue."}]}
    turns = [("human", "<image>\nWhat is it?"), ("gpt", "A red card."), ("human", "And behind?"), ("gpt", "Nothing.")]
    rows = [
        {"id": "1", "image": "red.png", "conversations": [{"from": who, "value": said} for who, said in turns]},
        {"id": "2", "conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hello"}]},
        {"images": ["blue.png"], "messages": [{"role": "user", "content": "<image>Colour?"}, answer]},
        {"images": ["blue.png", "red.png"], "messages": [{"role": "user", "content": "?"}]},
    ]  # fmt: skip
    wanted = [("red", ("A red card.",), "What is it?"), ("red", ("Nothing.",), "And behind?")]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    write_rows(tmp_path / "llava.jsonl", rows)
    for name in ("llava.json", "llava.jsonl"):
        found, skipped = read(tmp_path / name)
        assert found == [*wanted, ("blue", ("Blue.",), "Colour?")]
        assert "a conversation about 2 images" in skipped
    report = checked(tmp_path / "llava.json")
    assert report.passed_over == ["1 conversations without an image"]
    assert report.command.split()[2] == "lora_vqa"


def test_karpathy_splits(tmp_path):
    write_pngs(tmp_path / "val2014")
    splits = {"red": "train", "green": "restval", "blue": "val"}
    images = [
        {"filepath": "val2014", "filename": f"{colour}.png", "cocoid": number, "split": split}
        | {"sentences": [{"raw": f"a {colour} card", "tokens": ["a"]}, {"raw": colour, "tokens": []}]}
        for number, (colour, split) in enumerate(splits.items())
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    wanted = [(colour, (f"a {colour} card", colour), "") for colour in COLOURS]
    assert read(tmp_path) == (wanted[:2], "")
    assert read(tmp_path, split="val") == (wanted[2:], "")
    with pytest.raises(DataError, match=r"no split 'test'.*train, val"):
        read(tmp_path, split="test")
    report = checked(tmp_path)
    assert report.passed_over == ["1 images of the split val"]
    assert (report.validation, report.overlap) == (f"{tmp_path}, split val", 0)
    assert "split: val" in report.command


def test_a_column_split_chooses_rows_and_is_said(tmp_path):
    write_pngs(tmp_path)
    rows = [{"image": f"{colour}.png", "text": f"a {colour} card"} for colour in COLOURS]
    splits = ("train", "train", "validation")
    write_rows(tmp_path / "rows.jsonl", [row | {"split": one} for row, one in zip(rows, splits, strict=True)])
    assert read(tmp_path)[0] == CARDS
    assert read(tmp_path, split="train")[0] == CARDS[:2]
    assert checked(tmp_path).notes == [
        "the column 'split' has train 2, validation 1, and all are read: choose one with --split"
    ]
    report = checked(tmp_path, split="train")
    assert (report.rows, report.validation, report.notes) == (2, f"{tmp_path}, split validation", [])
    assert (report.source["split"], "split: validation" in report.command) == ("train", True)
    with pytest.raises(DataError, match="no rows of what is read: rows of another split than 'test'"):
        read(tmp_path, split="test")
    write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match="has no splits, and 'train' is asked for"):
        read(tmp_path, split="train")


def test_split_folders_and_what_is_beside(tmp_path):
    for part, colours in (("train", ("red", "green")), ("val", ("blue",))):
        for colour in colours:
            write_png(tmp_path / part / f"{colour}_card" / "1.png", colour)
    (tmp_path / "notes").mkdir()
    report = checked(tmp_path)
    assert (report.kind, report.split, report.rows) == ("classes", "train", 2)
    assert report.passed_over == ["notes: another part", "val: another part"]
    assert report.validation == f"{tmp_path}, split val"
    assert read(tmp_path, split="val")[0] == [("blue", ("blue card",), "")]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_table_per_split(tmp_path, ending):
    """`train` and `test` side by side; validation data beside them is known by its name already."""
    write_pngs(tmp_path)
    for part, colour in (("train", "red"), ("test", "green"), ("validation", "blue")):
        if ending == "csv":
            write_table(tmp_path / f"{part}.csv", [["image", "text"], [f"{colour}.png", f"a {colour} card"]])
        elif ending == "parquet":
            table = pa.table({"image": [f"{colour}.png"], "text": [f"a {colour} card"]})
            pq.write_table(table, tmp_path / f"{part}.parquet")
        else:
            write_rows(tmp_path / f"{part}.jsonl", [{"image": f"{colour}.png", "text": f"a {colour} card"}])
    assert read(tmp_path)[0] == [("red", ("a red card",), "")]
    assert read(tmp_path, split="test")[0] == [("green", ("a green card",), "")]
    assert find_data(tmp_path).passed_over == (f"test.{ending}: not read",)
    with pytest.raises(DataError, match="no split 'dev'"):
        read(tmp_path, split="dev")


def test_hidden_and_system_folders_are_no_classes(tmp_path):
    for folder in ("cat", "dog", ".thumbs", "__MACOSX", "@eaDir", "cat/deep"):
        write_png(tmp_path / folder / "1.png", "red")
    write_png(tmp_path / "cat" / "._2.png", "red")
    write_png(tmp_path / "bare.png", "red")
    (tmp_path / "cat" / "notes.md").write_text("x")
    found = find_data(tmp_path)
    assert [texts for _, texts, _ in read(tmp_path)[0]] == [("cat",), ("dog",)]
    assert found.passed_over == (
        ".thumbs: hidden, or a system's own",
        "@eaDir: hidden, or a system's own",
        "__MACOSX: hidden, or a system's own",
        "1 images in no folder: of no class",
        "1 images in folders of classes' folders",
        "1 files in the classes' folders that are no images",
    )


def test_a_link_that_leads_back_ends(tmp_path):
    write_png(tmp_path / "cat" / "1.png", "red")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "train").symlink_to(tmp_path)
    assert read(tmp_path)[0] == [("red", ("cat",), "")]


def test_a_text_that_is_not_unicode_is_found_with_its_row(tmp_path):
    write_pngs(tmp_path)
    rows = [
        '{"image": "red.png", "text": "a \\ud800 card"}',
        '{"image": "green.png", "query": "\\udfff?", "text": "x"}',
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, '{"image": "blue.png", "text": "a blue card"}']))
    report = checked(tmp_path)
    assert list(report.skipped) == ["row 1", "row 2"]
    assert "is not Unicode at character 3" in report.skipped["row 1"]
    assert read(tmp_path)[0] == CARDS[2:]
    with pytest.raises(DataError, match=r"2 of 3 rows .* is not Unicode at character 3"):
        load_source(SourceConfig(name="s", path=str(tmp_path)))


def test_one_bad_row_in_a_small_folder_trains_and_is_named(tmp_path):
    write_pngs(tmp_path)
    rows = [{"image": f"{colour}.png", "text": text} for colour, text in zip(COLOURS, ("x", None, "y"), strict=True)]
    write_rows(tmp_path / "rows.jsonl", rows)
    found, said = read(tmp_path, max_skipped=0.01)
    assert len(found) == 2
    assert "skipped 1 of 3 rows" in said
    with pytest.raises(DataError, match="1 of 3 rows of"):
        read(tmp_path, max_skipped=0)


def test_a_row_without_a_column_that_others_have_is_a_bad_row(tmp_path):
    write_pngs(tmp_path)
    write_rows(tmp_path / "rows.jsonl", [{"image": "red.png", "text": "a red card"}, {"image": "green.png"}])
    assert read(tmp_path)[0] == CARDS[:1]
    rows = read_source(SourceConfig(name="s", path=str(tmp_path)))
    assert (rows.tried, rows.skipped) == (2, {"row 2": "there is no column 'text'"})


def test_missing_ids_and_questions_are_not_the_word_nan(tmp_path):
    write_pngs(tmp_path)
    row = '{"image": "%s.png", "text": "x", "source_id": NaN, "query": NaN, "type": NaN}'
    (tmp_path / "rows.jsonl").write_text("\n".join(row % colour for colour in COLOURS))
    records = load_source(SourceConfig(name="s", path=str(tmp_path)))
    assert len({record.source_id for record in records}) == 3
    assert {(record.query, record.type) for record in records} == {("", "")}


def test_a_format_is_asked_in_its_turn_and_can_be_added(tmp_path, monkeypatch):
    from vljepa.data.formats import registry

    def recognises(place, split):
        return registry.Found("cards", place) if place.suffix == ".cards" else None

    def read_cards(found):
        yield from enumerate(({"image": line, "text": "a card"} for line in found.path.read_text().split()), start=1)

    monkeypatch.setattr(registry, "FORMATS", dict(registry.FORMATS))
    write_pngs(tmp_path)
    (tmp_path / "a.cards").write_text("red.png blue.png")
    with pytest.raises(DataError, match="of no known kind"):
        find_data(tmp_path / "a.cards")
    registry.register(registry.Format("cards", recognises, read_cards))
    assert read(tmp_path / "a.cards")[0] == [("red", ("a card",), ""), ("blue", ("a card",), "")]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [('{"image": "red.png", "text": ', "not JSON"), ('["red.png"]', "not a JSON object"), ("[" * 5000, "not JSON")],
)
def test_a_broken_line_is_one_row_and_not_the_file(tmp_path, broken, reason):
    write_pngs(tmp_path)
    lines = ['{"image": "green.png", "text": "a green card"}', broken, '{"image": "blue.png", "text": "a blue card"}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    rows, skipped = read(tmp_path / "rows.jsonl")
    assert [texts for _, texts, _ in rows] == [("a green card",), ("a blue card",)]
    assert f"row 2 ({reason}" in skipped or "nested too deeply" in skipped
