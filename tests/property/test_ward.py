"""Ward in time: the same partition as scikit-learn's, for every number of segments."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import diags_array
from sklearn.cluster import AgglomerativeClustering

from vljepa.inference.segmentation import ward_chain


def scikit_learn(rows: np.ndarray, count: int) -> np.ndarray:
    ones = np.ones(len(rows) - 1)
    chain = diags_array([ones, ones], offsets=[1, -1]).tocsr()
    return AgglomerativeClustering(n_clusters=count, connectivity=chain, linkage="ward").fit_predict(rows)


def inertia(rows: np.ndarray, labels: np.ndarray) -> float:
    return sum(((rows[labels == one] - rows[labels == one].mean(0)) ** 2).sum() for one in np.unique(labels))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), total=st.integers(2, 60), width=st.integers(1, 6), steps=st.booleans())
def test_every_partition_is_that_of_scikit_learn(seed: int, total: int, width: int, steps: bool) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(total, width))
    rows = np.cumsum(rows, axis=0) if steps else rows
    tree = ward_chain(rows)
    for count in {1, 2, total // 2 or 1, total - 1 or 1, total}:
        ours, theirs = tree.labels(count), scikit_learn(rows, count)
        assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == count


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), total=st.integers(2, 40))
def test_with_ties_the_first_merges_cost_the_same(seed: int, total: int) -> None:
    """Equal rows tie; which of them merges first may differ, what is merged for nothing may not."""
    rows = np.repeat(np.random.default_rng(seed).normal(size=(total, 3)), 2, axis=0)
    tree = ward_chain(rows)
    assert inertia(rows, tree.labels(total)) == 0
    assert np.all(tree.heights[:total] == 0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), total=st.integers(1, 50))
def test_partitions_are_nested_ordered_and_whole(seed: int, total: int) -> None:
    tree = ward_chain(np.random.default_rng(seed).normal(size=(total, 4)))
    coarser: set[int] = set()
    for count in range(1, total + 1):
        boundaries = tree.boundaries(count)
        assert len(boundaries) == count
        assert boundaries[0] == 0
        assert np.all(np.diff(boundaries) > 0)
        assert coarser <= set(boundaries.tolist())
        coarser = set(boundaries.tolist())
        assert np.array_equal(np.unique(tree.labels(count)), np.arange(count))
