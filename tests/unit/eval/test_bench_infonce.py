"""The bench of InfoNCE counts what a loss needs, not what it is given."""

from __future__ import annotations

import sys

import pytest

from eval.bench.infonce import TILE, measure_apart

ROWS, WIDTH = 2048, 1536


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_inputs_and_their_gradients_are_not_counted() -> None:
    """PITFALLS 33: they alone are larger than what the tiled loss needs, which is two tiles and little more."""
    matrix, tile, given = (count * 4 / 2**20 for count in (ROWS * ROWS, TILE * ROWS, 4 * ROWS * WIDTH))
    dense, tiled = (measure_apart(method, ROWS, WIDTH)["peak_mb"] for method in ("dense", "tiled"))
    assert 2 * tile <= tiled < given
    assert dense > 3 * matrix, "the control: it is not blind to what is made inside"
