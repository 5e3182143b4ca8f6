"""Captions in which a noun gives way to the name of a class."""

import numpy as np
import pytest

from recipes.mini.named_texts import Substitution, nouns, plural_of
from recipes.mini.written_texts import passing
from vljepa.processing.nouns import with_article
from vljepa.processing.taxonomy import Taxonomy

TAXONOMY = Taxonomy.of("imagenet-1k")
BEAGLE, AIREDALE, ABACUS = (TAXONOMY.classes_of(name)[0] for name in ("beagle", "airedale", "abacus"))


@pytest.mark.parametrize(
    ("caption", "name", "wanted"),
    [
        ("A dog on a couch", "Airedale", "An Airedale on a couch"),
        ("two dogs near an old bus", "husky", "two huskies near an old bus"),
        ("an airplane in the sky", "warplane", "a warplane in the sky"),
        ("A black and white dog sits here", "dalmatian", "A dalmatian sits here"),
        ("A small brown dog, asleep.", "ibizan hound", "A small ibizan hound, asleep."),
    ],
)
def test_article_and_number_agree_and_colours_go(caption, name, wanted):
    found = [noun.with_name(name) for noun in nouns(caption, TAXONOMY)]
    assert wanted in found


@pytest.mark.parametrize("caption", ["A dog house in a yard", "They dog him", "a hot dog on a plate of food", "dog"])
def test_only_the_head_of_a_phrase_gives_way(caption):
    dogs = set(TAXONOMY.classes_of("dog"))
    assert not [noun for noun in nouns(caption, TAXONOMY) if noun.classes == frozenset(dogs)]


def test_plurals():
    names = ("husky", "fox", "golden retriever", "sheep", "mouse", "fireman", "jeans", "toy")
    wanted = ("huskies", "foxes", "golden retrievers", "sheep", "mice", "firemen", "jeans", "toys")
    assert tuple(map(plural_of, names)) == wanted
    assert [with_article(name) for name in ("unicycle", "hourglass", "ox")] == ["a unicycle", "an hourglass", "an ox"]


def test_every_class_gets_captions_of_what_is_nearest_to_it():
    rows = [{"text": [f"a dog by tree {n}", f"my dog {n}"], "source_id": f"p:{n}"} for n in range(30)]
    rows += [{"text": [f"a laptop on desk {n}"], "source_id": f"q:{n}"} for n in range(30)]
    substitution = Substitution(rows, TAXONOMY)
    (beagles, width), (abaci, wide) = substitution.texts(BEAGLE), substitution.texts(ABACUS)
    assert len(beagles) == len(abaci) == 8
    assert width < wide
    assert all("beagle" in text for row in beagles for text in row["text"])
    assert {row["source_id"][0] for row in beagles} == {"p"}
    assert {row["source_id"][0] for row in abaci} == {"q"}
    assert all(len(row["text"]) > 1 for row in abaci)  # one to see and one to say
    assert substitution.texts(BEAGLE) == substitution.texts(BEAGLE)


def test_written_captions_must_be_about_the_name():
    texts = ["a heron that stands in a lake", "a heron: http", "a heron", "a stock market that falls and falls"]

    def embed(some):
        return np.array([[1.0, 0.0] if "heron" in text else [0.0, 1.0] for text in some], dtype=np.float32)

    assert passing(texts, "heron", embed=embed) == texts[:1]
