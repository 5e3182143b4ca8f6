import numpy as np
import pytest

from vljepa.metrics import effective_rank, matched_minus_shuffled, uniformity


def sphere(rows, width, seed=0):
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_collapsed_and_spread_embeddings_are_told_apart():
    collapsed, spread = np.tile(sphere(1, 16), (50, 1)), sphere(500, 16)
    assert effective_rank(collapsed) == pytest.approx(1.0)
    assert effective_rank(spread) > 15
    assert uniformity(collapsed) == pytest.approx(0.0, abs=1e-5)
    assert uniformity(spread) < -3
    assert matched_minus_shuffled(collapsed, collapsed) == pytest.approx(0.0, abs=1e-5)
    assert matched_minus_shuffled(spread, spread) > 0.95


def test_matched_minus_shuffled_is_the_mean_over_pairs():
    prediction, target = sphere(9, 4, 1), sphere(9, 4, 2)
    cosine = prediction.astype(np.float64) @ target.T.astype(np.float64)
    wrong = cosine[~np.eye(9, dtype=bool)]
    assert matched_minus_shuffled(prediction, target) == pytest.approx(np.diag(cosine).mean() - wrong.mean())


def test_nearly_predicting_a_constant_shows():
    target = sphere(40, 8)
    constant = np.tile(target.mean(axis=0, keepdims=True), (40, 1))
    assert matched_minus_shuffled(constant, target) == pytest.approx(0.0, abs=1e-6)
