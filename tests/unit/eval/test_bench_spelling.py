"""Words of captions that are none."""

from eval.bench.spelling import misspelt


def test_words_that_no_dictionary_has_are_counted_by_caption():
    captions = ["a dog with a fristbee and a fristbee", "two dogs", "two dogs", "a dog in a dog in a hat"]
    found = misspelt(captions, {"a", "dog", "with", "and", "two", "in", "hat"})
    assert found == {"captions": 4, "distinct": 3, "stutters": 2, "words_that_are_none": {"fristbee": 1}}
