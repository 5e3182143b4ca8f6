import json

import pytest
from pydantic import ValidationError

from vljepa.configs import SourceConfig
from vljepa.data.sources import load_source
from vljepa.errors import DataError


def csv_source(tmp_path, text, **settings):
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    return load_source(SourceConfig(name="s", path="rows.csv", **settings), root=tmp_path)


def jsonl_source(tmp_path, rows, **settings):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return load_source(SourceConfig(name="s", path="rows.jsonl", **settings), root=tmp_path)


def test_csv_with_mapped_columns_and_lists(tmp_path):
    text = 'file,caption,query\na.png,"a cat, asleep",\nb.png,"[""a dog"", ""a puppy""]",what is this?\n'
    first, second = csv_source(tmp_path, "\ufeff" + text, columns={"image": "file", "text": "caption"})
    assert first.image == tmp_path / "a.png"
    assert (first.texts, first.query, first.source_id, first.source) == (("a cat, asleep",), "", str(first.image), "s")
    assert (second.texts, second.query) == (("a dog", "a puppy"), "what is this?")


def test_a_caption_that_begins_with_a_bracket_is_a_caption(tmp_path):
    (record,) = csv_source(tmp_path, "image,text\na.png,[sic] a cat\n")
    assert record.texts == ("[sic] a cat",)


def test_jsonl_questions(tmp_path):
    row = {"image": "a.png", "query": "how many?", "text": 2, "candidates": [1, 2], "type": "count", "source_id": "p"}
    (record,) = jsonl_source(tmp_path, [row, ""], task="vqa")
    assert (record.texts, record.candidates, record.type, record.source_id) == (("2",), ("1", "2"), "count", "p")


def test_image_folder_with_a_captions_file(tmp_path):
    (tmp_path / "captions.csv").write_text("image,text\na.png,a cat\n", encoding="utf-8")
    source = SourceConfig(name="s", path=".")
    assert load_source(source, root=tmp_path)[0].image == tmp_path / "a.png"
    (tmp_path / "captions.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="two captions files"):
        load_source(source, root=tmp_path)


def test_rows_of_text_alone(tmp_path):
    settings = {"view": {"name": "text", "like": "photos"}}
    first, second = jsonl_source(
        tmp_path, [{"text": ["a cat", "a kitten"]}, {"text": ["a dog", "a puppy"]}], **settings
    )
    assert (first.image, first.texts) == (None, ("a cat", "a kitten"))
    assert first.source_id != second.source_id, "rows without an image must not all be the same image"
    with pytest.raises(DataError, match="two texts"):
        jsonl_source(tmp_path, [{"text": "a cat"}], **settings)
    with pytest.raises(DataError, match="no column 'image'"):
        jsonl_source(tmp_path, [{"text": ["a cat", "a kitten"]}])


def test_a_missing_column_is_named_with_those_that_exist(tmp_path):
    with pytest.raises(DataError, match=r"no column 'text'; the columns are image, caption.*columns"):
        csv_source(tmp_path, "image,caption\na.png,a cat\n")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{broken"], r"row 1 \(not JSON"),
        (["[1]"], r"row 1 \(not a JSON object\)"),
        ([{"image": "a.png", "text": ""}], "'text' is empty"),
        ([{"image": "a.png", "text": {"a": 1}}], "neither a text nor a list"),
        ([{"image": "/etc/passwd", "text": "x"}], "absolute path"),
        ([{"image": "../a.png", "text": "x"}], "outside the root"),
        ([{"image": None, "text": "x"}], "not a path"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        jsonl_source(tmp_path, rows)


def test_candidates_must_hold_the_answer_once(tmp_path):
    row = {"image": "a.png", "query": "?", "text": "yes", "candidates": ["no", "maybe"]}
    with pytest.raises(DataError, match="'yes' is not among the 2"):
        jsonl_source(tmp_path, [row], task="vqa")
    with pytest.raises(DataError, match="repeated"):
        jsonl_source(tmp_path, [row | {"candidates": ["yes", "no", "no"]}], task="vqa")


def test_missing_and_odd_files(tmp_path):
    with pytest.raises(DataError, match="no source"):
        load_source(SourceConfig(name="s", path="absent.csv"), root=tmp_path)
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(DataError, match="no known kind"):
        load_source(SourceConfig(name="s", path="rows.xlsx"), root=tmp_path)
    (tmp_path / "rows.csv").write_bytes(b"image,text\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="cannot be read"):
        load_source(SourceConfig(name="s", path="rows.csv"), root=tmp_path)


def test_a_file_of_texts_has_one_per_line(tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n\n  two dogs \na, b\n", encoding="utf-8")
    records = load_source(SourceConfig(name="s", path="texts.txt"), root=tmp_path, images=False)
    assert [record.texts for record in records] == [("a cat",), ("two dogs",), ("a, b",)]
    assert [record.source_id for record in records] == ["a cat", "two dogs", "a, b"]
    assert {record.image for record in records} == {None}


def test_a_file_of_texts_has_no_images(tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n", encoding="utf-8")
    with pytest.raises(DataError, match="texts and no images"):
        load_source(SourceConfig(name="s", path="texts.txt"), root=tmp_path)


def test_an_empty_file_of_texts_is_told(tmp_path):
    (tmp_path / "texts.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="no rows"):
        load_source(SourceConfig(name="s", path="texts.txt"), root=tmp_path, images=False)


def test_texts_and_ids_of_a_source_with_images_are_read_without_them(tmp_path):
    """Nothing of the images is looked at: they may be missing, or their paths lead outside."""
    rows = '{"image": "../absent.png", "text": ["a cat", "cat"], "source_id": "7"}\n{"text": "a dog"}\n'
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    source = SourceConfig(name="s", path="rows.jsonl")
    first, second = load_source(source, root=tmp_path, images=False)
    assert (first.image, first.texts, first.source_id) == (None, ("a cat", "cat"), "7")
    assert (second.image, second.source_id) == (None, "a dog")
    with pytest.raises(DataError):
        load_source(source, root=tmp_path)


def test_texts_are_known_by_the_image_that_they_are_read_without(tmp_path):
    rows = '{"image": "a.png", "text": "a cat"}\n{"image": "a.png", "text": "cat"}\n{"image": "b.png", "text": "cat"}\n'
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    source = SourceConfig(name="s", path="rows.jsonl")
    with_images = [record.source_id for record in load_source(source, root=tmp_path)]
    without = [record.source_id for record in load_source(source, root=tmp_path, images=False)]
    assert without == with_images
    assert without[0] == without[1] != without[2]


def test_candidates_of_a_source_are_those_of_rows_without_their_own(tmp_path):
    rows = [
        {"image": "a.png", "query": "?", "text": "yes"},
        {"image": "b.png", "query": "?", "text": "maybe", "candidates": ["maybe", "no"]},
        {"image": "c.png", "query": "?", "text": "no", "candidates": None},
    ]
    wanted = [("yes", "no"), ("maybe", "no"), ("yes", "no")]
    found = jsonl_source(tmp_path, rows, task="vqa", candidates=["yes", "no"])
    assert [record.candidates for record in found] == wanted
    (tmp_path / "answers.txt").write_text("yes\n\n no \n", encoding="utf-8")
    found = jsonl_source(tmp_path, rows, task="vqa", candidates="answers.txt")
    assert [record.candidates for record in found] == wanted
    with pytest.raises(DataError, match="'yes' is not among the 2"):
        jsonl_source(tmp_path, rows, task="vqa", candidates=["no", "maybe"])
    with pytest.raises(DataError, match=r"no file of candidates .*absent\.txt"):
        jsonl_source(tmp_path, rows, task="vqa", candidates="absent.txt")
    with pytest.raises(DataError, match="no column 'candidates'"):
        jsonl_source(tmp_path, rows[:1], task="vqa")
    for wrong in (["yes", "yes"], ["yes", ""]):
        with pytest.raises(ValidationError, match="empty or repeated"):
            SourceConfig(name="s", path="a", candidates=wrong)


def test_texts_are_optional_where_the_method_predicts_none(tmp_path):
    """A folder of clips or images for a method that predicts latents; what there is of texts is read all the same."""
    rows = [{"image": "a.png"}, {"image": "b.png", "text": ""}, {"image": "c.png", "text": "a cat"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = SourceConfig(name="s", path="rows.jsonl")
    with pytest.raises(DataError, match="'text'"):
        load_source(source, root=tmp_path)
    records = load_source(source, root=tmp_path, texts="optional")
    assert [(record.image.name, record.texts) for record in records] == [
        ("a.png", ()),
        ("b.png", ()),
        ("c.png", ("a cat",)),
    ]
    assert len({record.source_id for record in records}) == 3
