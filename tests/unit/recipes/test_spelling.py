"""Slips of the pen in a lexicon."""

from recipes.mini.spelling import slips_of


def test_a_word_of_one_image_that_no_dictionary_has_is_a_slip():
    images = {"fristbee": {"1"}, "frisbees": {"1", "2"}, "stupas": {"1"}, "eight-spoked": {"3"}, "dog": {"1"}}
    dictionary = {"stupa", "eight", "spoked", "dog"}
    assert slips_of([*images, "beagle"], images, dictionary | {"beagle"}) == {"fristbee"}
