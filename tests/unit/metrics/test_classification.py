import numpy as np
import pytest

from vljepa.metrics import expected_calibration_error, fit_temperature, softmax, top_k_hits


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
