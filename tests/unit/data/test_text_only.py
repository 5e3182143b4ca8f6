"""Guesses of the label prior from texts, on features that are set by hand."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vljepa.configs import LabelPriorConfig, TextView
from vljepa.data.text_only import PriorEstimate
from vljepa.models.residuals.label_prior import LabelPrior

WIDTH, CLASSES, TEXTS = 16, 9, 400


class Features:
    """Stands for TextFeatures: a text is the name of a row."""

    def __init__(self):
        self.rows = torch.randn(TEXTS, WIDTH, generator=torch.Generator().manual_seed(1))

    def read(self, texts):
        return self.rows[[int(text) for text in texts]]


ALL = [str(number) for number in range(TEXTS)]
REAL = torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(2)) + 0.5


def make_guess(*, top_k=CLASSES, real=REAL, sample=ALL, **settings):
    encoders = {"x_encoder": SimpleNamespace(num_classes=CLASSES), "y_encoder": SimpleNamespace(width=WIDTH)}
    prior = LabelPrior(LabelPriorConfig(label_names=["x"] * CLASSES, top_k=top_k), **encoders)
    prior.label_features_KE.normal_(generator=torch.Generator().manual_seed(0))
    config = TextView(like="photos", **settings)
    return PriorEstimate(config, texts=Features(), prior=prior, real_BE=real, sample=sample)


def test_a_guess_is_pure_in_the_seed_of_its_row():
    guess = make_guess()
    ours = guess(ALL[:3], seeds=[7, 8, 9])
    assert torch.equal(ours, guess(ALL[:3], seeds=[7, 8, 9]))
    torch.manual_seed(99)
    # Batch mates move a product of matrices by rounding alone.
    torch.testing.assert_close(ours[1], guess(ALL[1:2], seeds=[8])[0], rtol=1e-5, atol=1e-5)
    other = guess(ALL[:3], seeds=[7, 8, 10])
    assert torch.equal(ours[:2], other[:2])
    assert (ours[2] - other[2]).abs().max() > 0.01


def test_guesses_have_the_mean_of_real_images():
    mean = make_guess(noise=0)(ALL, seeds=range(TEXTS)).mean(0)
    torch.testing.assert_close(mean, REAL.mean(0), rtol=0, atol=1e-5)
    noisy = make_guess(noise=1)
    error = (noisy(ALL, seeds=range(TEXTS)).mean(0) - REAL.mean(0)).abs().max()
    assert error < 5 * noisy.spread / TEXTS**0.5
    moved = make_guess(noise=0, real=REAL + 1)(ALL, seeds=range(TEXTS)).mean(0)
    torch.testing.assert_close(moved, REAL.mean(0) + 1, rtol=0, atol=1e-5)


def test_noise_is_in_units_of_the_guesses_own_deviation():
    plain = make_guess(noise=0)(ALL, seeds=range(TEXTS))
    spread = float(plain.std(0).mean())
    for noise in (0.5, 2.0):
        added = make_guess(noise=noise)(ALL, seeds=range(TEXTS)) - plain
        assert float(added.std()) == pytest.approx(noise * spread, rel=0.05)
        assert abs(float(added.mean())) < 0.1 * noise * spread


def test_only_the_most_similar_labels_are_kept():
    """With one label kept, a guess is that label's feature, moved by the common shift."""
    guess = make_guess(top_k=1, noise=0)
    cosine = F.normalize(Features().rows, dim=-1) @ F.normalize(guess.labels_KE, dim=-1).T
    expected = guess.labels_KE[cosine.argmax(1)] + guess.shift_E
    torch.testing.assert_close(guess(ALL, seeds=range(TEXTS)), expected)


@pytest.mark.parametrize("top_k", [2, CLASSES, 50])
def test_labels_are_weighted_by_their_softmax_over_those_kept(top_k):
    guess = make_guess(top_k=top_k, noise=0, temperature=0.3)
    text = F.normalize(Features().rows[5], dim=0)
    cosines = [float(text @ F.normalize(label, dim=0)) for label in guess.labels_KE]
    kept = sorted(range(CLASSES), key=lambda label: -cosines[label])[:top_k]
    weights = torch.tensor([cosines[label] / 0.3 for label in kept]).exp()
    expected = ((weights / weights.sum())[:, None] * guess.labels_KE[kept]).sum(0) + guess.shift_E
    torch.testing.assert_close(guess(["5"], seeds=[0])[0], expected, rtol=1e-4, atol=1e-5)


def test_the_temperature_decides_how_sure_a_guess_is():
    """Sharper estimates lie further from each other."""
    assert make_guess(temperature=0.02).spread > 1.5 * make_guess(temperature=1.0).spread


def test_chunks_of_a_long_source_change_nothing(monkeypatch):
    whole = make_guess()
    monkeypatch.setattr("vljepa.data.text_only._TEXTS_PER_CHUNK", 64)
    pieces = make_guess()
    torch.testing.assert_close(pieces.shift_E, whole.shift_E, rtol=1e-5, atol=1e-6)
    assert pieces.spread == pytest.approx(whole.spread, rel=1e-5)
