"""Ward in time: the same partition as scikit-learn's, for every number of segments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import diags_array
from sklearn.cluster import AgglomerativeClustering

from vljepa.configs import SelectiveConfig
from vljepa.inference.segmentation import Dendrogram, ward_chain
from vljepa.inference.selective import Segment, SelectiveDecoder


def scikit_learn(rows: np.ndarray, count: int) -> AgglomerativeClustering:
    ones = np.ones(len(rows) - 1)
    chain = diags_array([ones, ones], offsets=[1, -1]).tocsr()
    return AgglomerativeClustering(
        n_clusters=count, connectivity=chain, linkage="ward", compute_full_tree=True, compute_distances=True
    ).fit(rows)


def boundaries_of(model: AgglomerativeClustering, total: int) -> Iterator[tuple[int, list[int]]]:
    """Number of segments, and their first rows, after each merge of its tree."""
    first = list(range(total))
    starts = set(range(total))
    for one, other in model.children_.tolist():
        first.append(min(first[one], first[other]))
        starts.remove(max(first[one], first[other]))
        yield len(starts), sorted(starts)


def inertia(rows: np.ndarray, starts: list[int]) -> float:
    return sum(((part - part.mean(0)) ** 2).sum() for part in np.split(rows, starts[1:]))


def made_rows(seed: int, total: int, width: int, walk: bool) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(total, width))
    return np.cumsum(rows, axis=0) if walk else rows


SEEDS, WIDTHS, WALKS = st.integers(0, 10_000), st.sampled_from([1, 2, 6, 48]), st.booleans()


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, total=st.integers(2, 60), width=WIDTHS, walk=WALKS)
def test_every_partition_and_height_is_that_of_scikit_learn(seed: int, total: int, width: int, walk: bool) -> None:
    rows = made_rows(seed, total, width, walk)
    tree, model = ward_chain(rows), scikit_learn(rows, 1)
    for count, starts in boundaries_of(model, total):
        assert tree.boundaries(count).tolist() == starts
    np.testing.assert_allclose(tree.heights, model.distances_, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, total=st.integers(2, 60), width=WIDTHS, walk=WALKS, share=st.floats(0, 1))
def test_labels_are_those_that_scikit_learn_gives_out(
    seed: int, total: int, width: int, walk: bool, share: float
) -> None:
    """Its own cut of its tree, not ours of its merges."""
    rows, count = made_rows(seed, total, width, walk), 1 + round(share * (total - 1))
    pairs = zip(ward_chain(rows).labels(count).tolist(), scikit_learn(rows, count).labels_.tolist(), strict=True)
    assert len(set(pairs)) == count


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, total=st.integers(2, 20), width=WIDTHS, repeats=st.integers(2, 4))
def test_with_repeated_rows_the_inertia_is_that_of_scikit_learn(
    seed: int, total: int, width: int, repeats: int
) -> None:
    """Equal rows tie: which of them merges first may differ, what the partition costs may not."""
    rows = np.repeat(made_rows(seed, total, width, walk=False), repeats, axis=0)
    tree = ward_chain(rows)
    for count, starts in boundaries_of(scikit_learn(rows, 1), len(rows)):
        ours = tree.boundaries(count).tolist()
        assert np.isclose(inertia(rows, ours), inertia(rows, starts), rtol=1e-9, atol=1e-12)
        assert count > total or ours == starts
    assert np.all(tree.heights[: total * (repeats - 1)] == 0)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, total=st.integers(1, 50))
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


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, total=st.integers(1, 50))
def test_a_higher_threshold_never_cuts_more(seed: int, total: int) -> None:
    tree: Dendrogram = ward_chain(np.random.default_rng(seed).normal(size=(total, 2)))
    counts = [tree.count_at(threshold) for threshold in np.linspace(0, 10, 50)]
    assert counts == sorted(counts, reverse=True)


def check(segments: list[Segment], times: np.ndarray) -> None:
    """Disjoint, in order, from the first row to after the last, no row in none or in two."""
    assert segments[0].start == times[0]
    assert segments[-1].end > times[-1]
    for one, after in pairwise(segments):
        assert one.end == after.start
    for one in segments:
        assert one.start <= one.time < one.end
        assert ((times >= one.start) & (times < one.end)).any()
        assert 0 <= one.coherence <= 1
        assert np.isclose(np.linalg.norm(one.embedding), 1, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    total=st.integers(1, 80),
    method=st.sampled_from(["two_window", "running_ward", "local_variance"]),
    readout=st.sampled_from(["mean", "exact"]),
    threshold=st.sampled_from([0.0, 0.3, 0.8, 100.0]),
    max_rate=st.sampled_from([None, 0.1, 1.0]),
    share=st.floats(0, 1),
)
def test_segments_cover_any_stream(
    seed: int, total: int, method: str, readout: str, threshold: float, max_rate: float | None, share: float
) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(total, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    times = np.cumsum(random.uniform(0.01, 1, size=total))  # uneven, as in a file of variable rate
    config = SelectiveConfig.model_validate({"method": method, "readout": readout, "threshold": threshold})
    decoder = SelectiveDecoder(config=config, max_rate=max_rate)
    check(
        [one for row, time in zip(rows, times, strict=True) for one in decoder.push(row, time)] + decoder.close(), times
    )
    count = 1 + round(share * (total - 1))
    segments = SelectiveDecoder(config=config).offline(rows, times, count=count)
    assert len(segments) == count
    check(segments, times)
