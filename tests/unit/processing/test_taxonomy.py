"""Names and hypernyms of classes."""

from __future__ import annotations

import pytest
from timm.data import ImageNetInfo

from vljepa.configs import LabelPriorConfig
from vljepa.methods.vision_language.label_prior import label_names
from vljepa.processing.nouns import names_in
from vljepa.processing.taxonomy import Concept, Taxonomy

TAXONOMY = Taxonomy.of("imagenet-1k")


def named(name: str) -> list[str]:
    return [TAXONOMY.names_of(number)[0] for number in TAXONOMY.classes_of(name)]


def test_the_classes_are_those_of_the_classifier() -> None:
    """In its order, as timm has them: an off-by-one would name every image wrongly."""
    info = ImageNetInfo("imagenet-1k")
    theirs = [info.index_to_description(index) for index in range(info.num_classes())]
    assert len(TAXONOMY) == len(theirs)
    assert label_names(LabelPriorConfig()) == theirs


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("cell phone", ["cellular telephone"]),
        ("Hot-Dog", ["hotdog"]),
        ("a photo of a zebra", ["zebra"]),
        ("elephants", ["Indian elephant", "African elephant"]),
        ("mice", ["mouse"]),
        ("knives", ["cleaver", "letter opener"]),
        ("sunglasses", ["sunglasses"]),  # a name of its own, and no plural of the class `sunglass`
        ("sunglass", ["sunglass"]),
        ("couch", ["studio couch"]),  # by a hypernym
        ("crane", ["crane", "crane"]),  # bird and machine
        ("giraffe", []),
        ("a", []),
        ("bas", []),  # no plural of `ba`, and no beginning of `bass`
        ("entity", []),
        ("artifact", []),
    ],
)
def test_a_name_stands_for_its_classes(name: str, classes: list[str]) -> None:
    assert named(name) == classes


def test_hypernyms_are_nearest_first_and_hold_the_classes_below_them() -> None:
    chain = TAXONOMY.hypernyms_of(207)
    assert [concept.names[0] for concept in chain][:4] == ["retriever", "sporting dog", "hunting dog", "dog"]
    assert "animal" in [concept.names[0] for concept in chain]
    assert [len(concept.classes) for concept in chain if concept.names[0] in ("retriever", "dog")] == [5, 118]
    assert all(207 in concept.classes for concept in chain)


def test_a_list_of_ones_own_has_synonyms_and_no_hypernyms() -> None:
    mine = Taxonomy.of(["cat, house cat", "toy dog"])
    assert len(mine) == 2
    assert mine.classes_of("house cats") == (0,)
    assert (mine.classes_of("dog"), mine.hypernyms_of(1)) == ((), ())


def test_a_name_of_a_class_and_of_a_hypernym_has_the_classes_of_both() -> None:
    toy = Concept(("toy",), (0,))
    assert Taxonomy([("doll",), ("toy", "toy dog")], [(toy,), ()]).classes_of("toy") == (0, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Two dogs with a hot dog on the street.", ["dogs", "hot dog"]),
        ("A man riding a T-shirt-clad HORSE", ["horse"]),
        ("a golden retriever by a jack-o'-lantern", ["golden retriever", "jack-o'-lantern"]),
        ("zebra crossing, zebra", ["zebra", "zebra"]),
        ("", []),
    ],
)
def test_names_in_a_caption(text: str, names: list[str]) -> None:
    assert list(names_in(text, TAXONOMY)) == names
