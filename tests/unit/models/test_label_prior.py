"""The label prior against arithmetic done by hand, and its refiner at the start."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vljepa.configs import LabelPriorConfig
from vljepa.models.residuals.label_prior import LabelPrior
from vljepa.models.residuals.protocol import Residual
from vljepa.models.types import Latents

LABELS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]])
LOGITS = torch.tensor([[math.log(6), math.log(3), math.log(1)]])
"""Probabilities 0.6, 0.3 and 0.1."""


def of_classes(count, **settings):
    encoders = {"x_encoder": SimpleNamespace(num_classes=count), "y_encoder": SimpleNamespace(width=2)}
    return LabelPrior(LabelPriorConfig(**settings), **encoders)


def make_prior(**settings):
    prior = of_classes(3, label_names=["a", "b", "c"], **settings)
    prior.label_features_KE.copy_(LABELS)
    return prior.eval()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": 1}, [1.0, 0.0]),
        ({"top_k": 2}, [2 / 3, 1 / 3]),
        ({"top_k": 3}, [0.6 - 0.1, 0.3 + 0.2]),
        ({"top_k": 10}, [0.6 - 0.1, 0.3 + 0.2]),
        # At temperature 1/2 the probabilities are squared: 36, 9 and 1 of 46.
        ({"top_k": 3, "temperature": 0.5}, [35 / 46, 11 / 46]),
        ({"top_k": 2, "temperature": 0.5}, [36 / 45, 9 / 45]),
    ],
)
def test_it_is_the_convex_combination_of_the_probable_labels(settings, expected):
    torch.testing.assert_close(make_prior(**settings).of_logits(LOGITS), torch.tensor([expected]))


def test_it_is_computed_in_fp32():
    assert make_prior().of_logits(LOGITS.bfloat16()).dtype == torch.float32


def test_rows_do_not_see_each_other():
    prior = make_prior(top_k=2)
    both = prior.of_logits(torch.cat([LOGITS, LOGITS.flip(1)]))
    assert torch.equal(both[0], prior.of_logits(LOGITS)[0])
    torch.testing.assert_close(both[1], LABELS[2] * 2 / 3 + LABELS[1] / 3)


def test_a_prior_of_zeros_is_not_filled():
    assert make_prior().is_filled
    assert not of_classes(1, label_names=["a"]).is_filled


def test_the_refiner_starts_as_the_direction_of_its_input():
    prior = make_prior(hidden=5)
    features = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(prior.refine(features), F.normalize(features, dim=-1))
    assert torch.equal(prior.train().refine(features), F.normalize(features, dim=-1)), "also under dropout"


def test_the_refiner_moves_once_its_last_layer_does():
    prior = make_prior(hidden=5)
    with torch.no_grad():
        prior.refiner[-1].bias.fill_(0.5)
    features = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.refine(features), F.normalize(features, dim=-1) + 0.5)


def test_dropout_is_inside_the_refiner_only():
    prior = make_prior(hidden=200, dropout=0.5)
    torch.nn.init.ones_(prior.refiner[-1].weight)
    features = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(prior.refine(features), prior.refine(features))
    prior.train()
    assert not torch.equal(prior.refine(features), prior.refine(features))


@pytest.mark.parametrize("settings", [{"hidden": None}, {"hidden": 5, "gated": False}])
def test_without_hidden_or_without_a_residual_there_is_no_refiner(settings):
    prior = make_prior(**settings)
    assert list(prior.parameters()) == []
    features = torch.randn(4, 2)
    assert prior.refine(features) is features


def test_it_gives_the_classifier_s_own_probabilities_and_names():
    """All of them, at temperature 1: `top_k` and `temperature` are those of the prior."""
    prior = make_prior(top_k=1, temperature=3.0)
    latents = Latents(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool), logits_BK=LOGITS.half())
    torch.testing.assert_close(prior.class_probabilities(latents), torch.tensor([[0.6, 0.3, 0.1]]), atol=1e-3, rtol=0)
    assert torch.equal(prior.class_features(), LABELS)


def test_other_residuals_have_no_classifier():
    latents = Latents(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool), logits_BK=LOGITS)
    residual = Residual()
    assert residual.class_probabilities(latents) is None
    assert residual.class_features() is None
