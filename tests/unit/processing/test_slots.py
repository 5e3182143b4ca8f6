"""Names cut out of texts and filled in again."""

import pytest

from vljepa.processing.slots import cut, fill

NAMES = ["Airedale", "husky", "Persian cat"]


@pytest.mark.parametrize(
    ("text", "with_slots", "back"),
    [
        ("an airedale on a couch", "a <1> on a couch", "an airedale on a couch"),
        ("two airedales and a husky", "two <1>s and a <2>", "two airedales and a husky"),
        ("huskies", "<2>s", "huskies"),
        ("a persian cat and a cat", "a <3> and a cat", "a persian cat and a cat"),
        ("an old husky", "an old <2>", "an old husky"),
        ("airedalesque huskyish things", "airedalesque huskyish things", "airedalesque huskyish things"),
    ],
)
def test_a_text_comes_back(text, with_slots, back):
    assert cut(text, NAMES) == with_slots
    assert fill(with_slots, NAMES) == back


def test_the_article_agrees_with_whatever_name_comes_in():
    assert fill("a <1> and an <2>", ["owl", "unicycle"]) == "an owl and a unicycle"
    assert fill("the <1> of a <1>", ["sheep"]) == "the sheep of a sheep"


def test_longer_names_go_first_and_names_inside_words_stay():
    assert cut("a persian cat", ["cat", "Persian cat"]) == "a <2>"
    assert cut("a cathedral", ["cat"]) == "a cathedral"


def test_a_slot_without_a_name_stays():
    assert fill("a <2> on a <1>", ["husky"]) == "a <2> on a husky"


def test_a_name_with_signs_of_its_own():
    assert cut("a jack-o'-lantern", ["jack-o'-lantern"]) == "a <1>"
    assert cut("two potter's wheels", ["potter's wheel"]) == "two <1>s"
