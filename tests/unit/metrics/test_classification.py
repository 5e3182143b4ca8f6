import numpy as np
import pytest

from vljepa.metrics import (
    auroc,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_by_count,
    softmax,
    top_k_hits,
)
from vljepa.metrics.classification import fit_logistic


def test_hits_and_ties():
    scores = np.array([[0.9, 0.1, 0.5], [0.5, 0.5, 0.1], [0.2, 0.1, 0.3], [np.nan, 0.1, 0.2]])
    labels = np.zeros(4, dtype=np.int64)
    assert top_k_hits(scores, labels).tolist() == [True, False, False, False]
    assert top_k_hits(scores, labels, k=2).tolist() == [True, True, True, False]


def test_absent_candidates_never_win():
    scores = np.array([[0.1, -np.inf, -np.inf]])
    assert top_k_hits(scores, np.array([0])).all()
    assert softmax(scores, temperature=0.1).tolist() == [[1.0, 0.0, 0.0]]


def test_temperature_is_found_again():
    random = np.random.default_rng(0)
    scores = random.uniform(-1, 1, size=(4000, 5))
    probabilities = softmax(scores, temperature=0.2)
    labels = np.array([random.choice(5, p=row) for row in probabilities])
    fitted = fit_temperature(scores, labels)
    assert fitted == pytest.approx(0.2, rel=0.1)
    calibrated = expected_calibration_error(softmax(scores, temperature=fitted), labels)
    overconfident = expected_calibration_error(softmax(scores, temperature=0.02), labels)
    assert calibrated < 0.03 < overconfident


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    labels = np.array([0, 1, 0])
    # two rows at confidence .9 with accuracy .5, one row at .6 with accuracy 1
    assert expected_calibration_error(probabilities, labels) == pytest.approx((2 * 0.4 + 1 * 0.4) / 3)


def test_a_temperature_per_row() -> None:
    scores = np.array([[1.0, 0.0], [1.0, 0.0]])
    both = softmax(scores, temperature=np.array([1.0, 0.5]))
    assert both[:, 0].tolist() == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-2))])


def planted(candidates: int, *, temperature: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax at `temperature` is the probability of being right."""
    random = np.random.default_rng(candidates)
    scores = 0.1 * random.standard_normal((rows, candidates))
    chosen = (softmax(scores, temperature=temperature).cumsum(1) > random.random((rows, 1))).argmax(1)
    return scores, chosen


def test_a_planted_exponent_is_found() -> None:
    parts = [planted(count, temperature=0.06 * (count / 20) ** -0.1) for count in (2, 20, 200)]
    temperature, exponent = fit_temperature_by_count(parts, at=20, steepest=0.25)
    assert temperature == pytest.approx(0.06, rel=0.03)
    assert exponent == pytest.approx(-0.1, abs=0.02)


def test_one_number_of_candidates_says_nothing_of_others() -> None:
    part = planted(50, temperature=0.06)
    temperature, exponent = fit_temperature_by_count([part], at=50, steepest=0.25)
    assert exponent == 0.0
    assert temperature == pytest.approx(fit_temperature(*part), rel=1e-3)


def test_candidates_are_counted_per_row() -> None:
    """Padding is no candidate: a row of two among rows of three has the temperature of two."""
    scores, labels = planted(2, temperature=0.06 * 0.1**-0.1)
    padded = (np.pad(scores, ((0, 0), (0, 98)), constant_values=-np.inf), labels)
    parts = [padded, planted(100, temperature=0.06 * 5**-0.1)]
    assert fit_temperature_by_count(parts, at=20, steepest=0.25)[1] == pytest.approx(-0.1, abs=0.03)


def test_a_certainty_of_one_is_in_the_last_bin_with_the_others() -> None:
    """Wrong at 1.0 and right at 0.95: together half are right, where 97.5% were sure."""
    probabilities = np.array([[1.0, 0.0], [0.05, 0.95]])
    assert expected_calibration_error(probabilities, np.array([1, 1])) == pytest.approx(0.475)


def test_the_area_under_the_roc_curve_is_how_often_a_positive_is_above_a_negative():
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 9, 200) / 9, random.random(200) < 0.3
    pairs = scores[positive][:, None] - scores[~positive]
    assert auroc(scores, positive) == pytest.approx(float((pairs > 0).mean() + (pairs == 0).mean() / 2))
    assert auroc(positive.astype(float), positive) == 1.0
    assert auroc(np.zeros(4), np.array([True, False, True, False])) == 0.5


def test_logistic_regression_finds_the_weights_of_the_draw():
    random = np.random.default_rng(0)
    values = np.column_stack([np.ones(4000), random.normal(size=(4000, 2))])
    right = (random.random(4000) < 1 / (1 + np.exp(-(values @ [0.5, 2.0, -1.0])))).astype(float)
    assert fit_logistic(values, right) == pytest.approx([0.5, 2.0, -1.0], abs=0.25)
    assert fit_logistic(np.column_stack([values, np.zeros(4000)]), right)[3] == 0.0  # what says nothing has no weight
