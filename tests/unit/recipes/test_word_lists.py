"""The lists of words beside the code that builds mini's data."""

import re

import pytest

from recipes.mini import clip_texts, kinds, titles, word_lists


def leaves(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from leaves(value)
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value)
    else:
        yield node


NAMES = sorted(path.stem for path in word_lists.FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_text(name):
    """Without quotes `no`, `on` and `1` are no words in YAML."""
    found = list(leaves(word_lists.read_words(name)))
    assert len(found) > 10
    assert [word for word in found if not isinstance(word, str) or not word.isascii()] == []


def test_a_word_that_is_no_text_is_seen(tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("answers: [yes, no]\n", encoding="utf-8")
    monkeypatch.setattr(word_lists, "FOLDER", tmp_path)
    assert [word for word in leaves(word_lists.read_words("bad")) if not isinstance(word, str)] == [True, False]


def test_a_pattern_stands_for_every_choice_of_words():
    wordings = clip_texts.QUESTIONS["first side"]
    assert wordings["train"][:3] == (
        "where does something appear first?",
        "where does something come first?",
        "where does something show up first?",
    )
    assert "at which side does it begin?" in wordings["train"]
    assert len(wordings["train"]) == 12 + 12 + 4 + 4 + 4 + 1
    assert wordings["validation"] == ("where is the first thing to be seen?",)


def test_patterns_of_titles_are_joined_as_alternatives_in_any_case():
    assert titles.COLLECTION.search("A ClipArt of cats")
    assert titles.COLLECTION.search("street map")
    assert not titles.COLLECTION.search("mapping")
    assert titles.COLLECTION.flags & re.IGNORECASE
    assert kinds.KINDS["food-fruit"] == "food"
