"""What a classifier says about candidates that name its classes, against arithmetic done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vljepa.configs import AlignedConfig, LabelPriorConfig, OpenSetConfig
from vljepa.processing.evidence import class_shares, open_set_features, right_among, taxonomy_of, with_evidence
from vljepa.processing.taxonomy import Concept, Taxonomy

DOG = Concept(("dog",), (1, 2, 3))
PETS = Taxonomy([("cat",), ("beagle",), ("pug",), ("collie",)], [(), (DOG,), (DOG,), (DOG,)])


def test_a_class_speaks_for_every_candidate_that_has_it_and_most_for_the_narrowest() -> None:
    shares = class_shares(PETS, ["dog", "beagle", "cat", "kite"])
    np.testing.assert_allclose(shares, [[0, 0.25, 1, 1], [0, 0.75, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_what_the_classifier_gives_to_no_candidate_is_decided_by_the_cosines() -> None:
    """With a class elsewhere the cosines decide alone; with a class here they decide the rest."""
    cosine, share = np.array([[0.2, 0.3, 0.5]]), class_shares(PETS, ["cat", "dog", "kite"])
    elsewhere = with_evidence(cosine, np.zeros((1, 3)), weight=0.8)
    np.testing.assert_allclose(elsewhere, cosine)
    known = with_evidence(cosine, np.array([[0.5, 0.2, 0.2, 0.1]]) @ share.T, weight=0.8)
    np.testing.assert_allclose(known, [[0.4 + 0.2 * 0.2, 0.4 + 0.2 * 0.3, 0.2 * 0.5]])
    np.testing.assert_allclose(with_evidence(cosine, np.ones((1, 3)) / 3, weight=0.0), cosine)


def test_probabilities_stay_probabilities() -> None:
    random = np.random.default_rng(0)
    cosine, classes = random.dirichlet(np.ones(5), size=20), random.dirichlet(np.ones(4), size=20)
    given = classes @ class_shares(PETS, ["pug", "dog", "beagle", "cat", "kite"]).T
    np.testing.assert_allclose(with_evidence(cosine, given, weight=0.6).sum(1), 1)


def test_a_right_one_among_the_candidates() -> None:
    config = OpenSetConfig(bias=-1.0, cosine=4.0, reference=-2.0, candidates=-0.5)
    cosine, reference = np.array([[0.1, 0.75], [0.1, 0.2]]), np.array([[0.3, 0.5], [0.9, 0.0]])
    factors = np.array([-1.0, 4.0, -2.0, -0.5])
    by_hand = np.array([[1, 0.75, 0.5, np.log(0.1)], [1, 0.2, 0.9, np.log(0.1)]])
    np.testing.assert_allclose(open_set_features(cosine, reference), by_hand)
    np.testing.assert_allclose(right_among(config, cosine, reference), 1 / (1 + np.exp(-by_hand @ factors)))
    assert open_set_features(cosine, None)[0, 2] == open_set_features(cosine, reference[:, :0])[0, 2] == 0


def test_only_a_model_with_a_classifier_has_names_of_classes() -> None:
    own = taxonomy_of(LabelPriorConfig(label_names=["cat, kitty", "dog"]))
    assert own is not None
    assert own.classes_of("kitty") == (0,)
    assert taxonomy_of(AlignedConfig()) is taxonomy_of(None) is None


@pytest.mark.parametrize("weight", [-0.1, 1.0])
def test_the_classifier_cannot_be_all(weight: float) -> None:
    """At 1, a name that it does not know would have no probability at all."""
    from vljepa.configs import CalibrationConfig

    with pytest.raises(ValueError, match="evidence"):
        CalibrationConfig(evidence=weight)
