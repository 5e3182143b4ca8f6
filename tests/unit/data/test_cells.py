import pytest

from vljepa.data.cells import is_missing, texts_in


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("a cat", ("a cat",)),
        (3, ("3",)),
        (["a", " ", None, float("nan"), "b"], ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("['a','b']", ("a", "b")),
        ("[\"a cat\", 'it is']", ("a cat", "it is")),
        ("['a cat\\'s bed', \"the dog's\"]", ("a cat's bed", "the dog's")),
        ("['a' 'b'\n 'c']", ("a", "b", "c")),
        ("['a', 'b',]", ("a", "b")),
        ("['a', b]", ("['a', b]",)),
        ("['a'] and more", ("['a'] and more",)),
        ("[sic] a cat", ("[sic] a cat",)),
        ("[]", ()),
        ("['']", ()),
        ([{"raw": "a", "tokens": ["a"]}, {"caption": "b"}], ("a", "b")),
    ],
)
def test_lists_are_read_however_they_are_written(cell, texts):
    assert texts_in(cell) == texts


@pytest.mark.parametrize("cell", [None, float("nan"), "", "  ", "nan", "NaN", "NULL", "<NA>", "#N/A"])
def test_what_tables_write_for_nothing_is_nothing(cell):
    assert is_missing(cell)
    assert texts_in(cell) == ()


@pytest.mark.parametrize("cell", ["none", "None", "naan", "nano", 0, False, 0.5])
def test_answers_that_only_look_like_nothing_are_texts(cell):
    assert texts_in(cell) == (str(cell),)


@pytest.mark.parametrize("cell", [{"a": 1}, [["a"]], ["a", {"b": 2}]])
def test_what_is_no_text_is_refused(cell):
    with pytest.raises(ValueError, match="neither a text nor a list"):
        texts_in(cell)


def test_a_long_cell_of_quotes_takes_no_time():
    assert texts_in("['" + "\\'" * 100_000) == ("['" + "\\'" * 100_000,)
    assert texts_in("[" + "''" * 50_000 + "x]") == ("[" + "''" * 50_000 + "x]",)
