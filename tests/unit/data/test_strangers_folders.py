"""Folders, splits and rows as strangers bring them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import write_rows
from tests.layouts import COLOURS, png, read, write_png, write_pngs, write_table
from tests.unit.data.test_strangers_layouts import CAPTION, CARDS, checked, write_parquet
from vljepa.configs import SourceConfig
from vljepa.data.formats import find_data
from vljepa.data.sources import load_source, read_source
from vljepa.errors import DataError


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
