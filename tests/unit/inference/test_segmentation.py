from __future__ import annotations

import numpy as np
import pytest

from vljepa.errors import DataError
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


def test_one_row_is_one_segment() -> None:
    tree = ward_chain(np.ones((1, 3)))
    assert tree.labels(1).tolist() == [0]
    assert tree.count_at(0.0) == 1


@pytest.mark.parametrize("count", [0, 13])
def test_more_segments_than_rows_are_refused(count: int) -> None:
    with pytest.raises(DataError, match="12 rows cannot be"):
        ward_chain(SHOTS).boundaries(count)


@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_row_that_is_not_a_number_is_refused(place: int) -> None:
    rows = SHOTS.copy()
    rows[place] = np.nan
    with pytest.raises(DataError, match="not a number"):
        ward_chain(rows)


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no segments"):
        ward_chain(np.zeros((0, 4)))


def test_the_rows_stay_as_they_are() -> None:
    rows = SHOTS.copy()
    ward_chain(rows)
    assert np.array_equal(rows, SHOTS)
