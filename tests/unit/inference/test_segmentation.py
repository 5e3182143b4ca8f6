from __future__ import annotations

import numpy as np
import pytest

from vljepa.errors import ConfigError, DataError
from vljepa.inference.segmentation import ward_chain

SHOTS = np.repeat(np.array([[0.0], [4.0], [5.0], [9.0]]), 3, axis=0)


def test_the_shots_of_a_clean_stream_are_found_and_the_nearest_merge_first() -> None:
    tree = ward_chain(SHOTS)
    assert tree.boundaries(4).tolist() == [0, 3, 6, 9]
    assert tree.boundaries(3).tolist() == [0, 3, 9]
    assert tree.labels(2).tolist() in ([0] * 3 + [1] * 9, [0] * 9 + [1] * 3)


def test_height_is_the_ward_distance() -> None:
    """Two pairs of rows, means 3 apart: sqrt(2 * 2 * 2 / 4) * 3."""
    tree = ward_chain(np.array([[0.0], [0.0], [3.0], [3.0]]))
    assert tree.heights.tolist() == pytest.approx([0, 0, 3 * np.sqrt(2)])


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 4), (1.0, 4), (2.0, 3), (1e9, 1)])
def test_a_threshold_stops_the_merging(threshold: float, count: int) -> None:
    assert ward_chain(SHOTS).count_at(threshold) == count


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_a_threshold_below_every_distance_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="no Ward distance"):
        ward_chain(SHOTS).count_at(threshold)


def test_a_lower_merge_after_a_higher_one_does_not_count() -> None:
    """The two zeros are not neighbours, so that the second merge is the nearer one."""
    tree = ward_chain(np.array([[0.0], [1.0], [0.0]]))
    assert tree.heights.tolist() == pytest.approx([1, 1 / np.sqrt(3)])
    assert [tree.count_at(threshold) for threshold in (0.5, 0.9, 1.0)] == [3, 3, 1]


def test_equal_gaps_merge_from_the_start() -> None:
    assert ward_chain(np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])).joints[:3].tolist() == [1, 3, 5]


def test_one_row_is_one_segment() -> None:
    tree = ward_chain(np.ones((1, 3)))
    assert tree.labels(1).tolist() == [0]
    assert tree.count_at(0.0) == 1


@pytest.mark.parametrize("count", [0, 13])
def test_more_segments_than_rows_are_refused(count: int) -> None:
    with pytest.raises(DataError, match="12 rows cannot be"):
        ward_chain(SHOTS).boundaries(count)


@pytest.mark.parametrize("place", [0, 5, 11])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_a_number_is_refused(place: int, value: float) -> None:
    rows = SHOTS.copy()
    rows[place] = value
    with pytest.raises(DataError, match="not a number"):
        ward_chain(rows)


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no segments"):
        ward_chain(np.zeros((0, 4)))


def test_the_rows_stay_as_they_are() -> None:
    rows = SHOTS.copy()
    ward_chain(rows)
    assert np.array_equal(rows, SHOTS)
