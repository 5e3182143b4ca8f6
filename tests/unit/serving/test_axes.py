"""Shorter embeddings: what is kept of them."""

import numpy as np
import pytest

from vljepa.processing.taxonomy import Taxonomy
from vljepa.serving.axes import principal_axes, shortened

NAMES = Taxonomy.of("imagenet-1k").names()


def rows_of(seed, noise=0.0):
    """Unit rows that differ along 4 hidden directions of 32 much more than along the others."""
    made = np.random.default_rng(seed)
    turn = np.linalg.qr(made.normal(size=(32, 32)))[0]
    spread = made.normal(size=(len(NAMES), 32)) * np.geomspace(1, 1e-3, 32) + 0.1
    rows = spread @ turn.T + noise * np.random.default_rng(1).normal(size=(len(NAMES), 32))
    return turn, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_axes_are_a_rotation_in_the_order_of_what_they_hold():
    turn, rows = rows_of(0)
    axes = principal_axes(lambda names: rows[: len(names)])
    assert axes.T @ axes == pytest.approx(np.eye(32), abs=1e-9)
    held = ((rows @ axes) ** 2).mean(0)
    assert (np.diff(held) <= 1e-7).all()
    assert np.linalg.norm(turn[:, :4].T @ axes[:, :5], axis=1).min() > 0.95


def test_cosines_outlive_the_shortening_where_cutting_loses_them():
    _, rows = rows_of(0)
    axes = principal_axes(lambda names: rows[: len(names)])
    some = rows[:50]
    whole, short, cut = some @ some.T, shortened(some, axes, 12), some[:, :12]
    cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    assert np.linalg.norm(short, axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    assert short.dtype == np.float32
    assert np.abs(short @ short.T - whole).max() < 0.05
    assert np.abs(cut @ cut.T - whole).max() > 0.2


def test_another_machines_rounding_gives_the_same_axes():
    _, rows = rows_of(0)
    _, other = rows_of(0, noise=1e-6)
    one, two = (principal_axes(lambda names, given=given: given[: len(names)]) for given in (rows, other))
    assert (one * two).sum(0).min() > 0.999
