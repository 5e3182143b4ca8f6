import numpy as np
import pytest

from vljepa.metrics import retrieval
from vljepa.metrics.retrieval import retrieval_ranks


def unit(rows, width, seed):
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_ranks_against_a_sort():
    queries, items = unit(20, 8, 0), unit(30, 8, 1)
    positives = [[number, (number + 7) % 30] for number in range(20)]
    order = np.argsort(-(queries @ items.T), axis=1)
    expected = []
    for row, mine in zip(order, positives, strict=True):
        wrong_before = 0
        for item in row:
            if item in mine:
                break
            wrong_before += 1
        expected.append(wrong_before + 1)
    assert retrieval_ranks(queries, items, positives=positives, chunk=7).tolist() == expected
    metrics = retrieval(queries, items, positives=positives)
    assert metrics["r5"] == pytest.approx(np.mean(np.array(expected) <= 5))
    assert metrics["mrr"] == pytest.approx(np.mean(1 / np.array(expected)))
    assert metrics["median_rank"] == np.median(expected)


def test_constant_embeddings_score_nothing():
    # 33 columns, so that the matrix product's edge kernel may differ in the last bit.
    same = np.tile(unit(1, 97, 0), (33, 1))
    metrics = retrieval(same, same, positives=[[number] for number in range(33)])
    assert metrics["r1"] == metrics["r5"] == metrics["r10"] == 0.0
    assert metrics["median_rank"] == 33


def test_nan_embeddings_score_nothing():
    nan = np.full((12, 4), np.nan, dtype=np.float32)
    assert retrieval(nan, unit(12, 4, 0), positives=[[number] for number in range(12)])["r10"] == 0.0


def test_a_query_without_a_positive_is_a_bug():
    with pytest.raises(AssertionError, match="positive"):
        retrieval(unit(1, 2, 0), unit(1, 2, 0), positives=[[]])
