"""The bench of InfoNCE counts what a loss needs, not what it is given."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from eval.bench.infonce import TILE, measure

ROWS, WIDTH = 2048, 1536


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_inputs_and_their_gradients_are_not_counted() -> None:
    """PITFALLS 33: they alone are larger than what the tiled loss needs, which is two tiles and little more."""
    matrix, tile, given = (count * 4 / 2**20 for count in (ROWS * ROWS, TILE * ROWS, 4 * ROWS * WIDTH))
    # In processes of their own: memory that earlier tests have freed would be used again, and not be counted.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        dense, tiled = (one["peak_mb"] for one in pool.map(measure, ("dense", "tiled"), [ROWS] * 2, [WIDTH] * 2))
    assert 2 * tile <= tiled < given
    assert dense > 3 * matrix, "the control: it is not blind to what is made inside"
