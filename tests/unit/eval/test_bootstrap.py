from __future__ import annotations

import math

import pytest

from eval.core.statistics import interval, paired_bootstrap


def test_equal_differences_have_an_interval_without_width() -> None:
    found = paired_bootstrap([{str(item): 0.25 for item in range(40)}])
    assert found == {"mean": 0.25, "low": pytest.approx(0.25), "high": pytest.approx(0.25), "items": 40}


def test_interval_of_a_share_is_the_binomial_one() -> None:
    hits = {str(item): float(item < 60) for item in range(200)}
    found = paired_bootstrap([hits])
    half = 1.96 * math.sqrt(0.3 * 0.7 / 200)
    assert found["mean"] == pytest.approx(0.3)
    assert found["low"] == pytest.approx(0.3 - half, abs=0.006)
    assert found["high"] == pytest.approx(0.3 + half, abs=0.006)


def test_an_item_of_several_runs_is_one_item() -> None:
    """Three copies of one run carry no more evidence than one: the interval must not shrink."""
    run = {str(item): float(item % 3 == 0) for item in range(90)}
    assert paired_bootstrap([run, run, run]) == paired_bootstrap([run])


def test_independent_runs_narrow_the_interval() -> None:
    one = {f"a{item}": float(item % 2) for item in range(100)}
    other = {f"b{item}": float(item % 2) for item in range(100)}
    single, both = paired_bootstrap([one]), paired_bootstrap([one, other])
    assert both["items"] == 200
    assert (both["high"] - both["low"]) < 0.8 * (single["high"] - single["low"])


def test_draws_are_seeded() -> None:
    run = {str(item): item**1.5 for item in range(30)}
    assert paired_bootstrap([run], seed=1) == paired_bootstrap([run], seed=1)
    assert paired_bootstrap([run], seed=1) != paired_bootstrap([run], seed=2)


def test_values_of_one_item_are_drawn_together() -> None:
    """Ten questions about each of 30 images, all right or all wrong, are 30 things to know and not 300."""
    images = [str(number) for number in range(30)]
    hits = [float(number % 2) for number in range(30)]
    alone = interval(hits, images)
    ten = interval(hits * 10, images * 10)
    assert ten == {**alone, "low": pytest.approx(alone["low"]), "high": pytest.approx(alone["high"])}
    apart = interval(hits * 10, [str(number) for number in range(300)])
    assert apart["high"] - apart["low"] < 0.4 * (ten["high"] - ten["low"])
    half = 1.96 * math.sqrt(0.25 / 30)
    assert (ten["low"], ten["high"]) == (pytest.approx(0.5 - half, abs=0.02), pytest.approx(0.5 + half, abs=0.02))


def test_an_item_with_more_values_weighs_more() -> None:
    found = interval([1.0] * 9 + [0.0], ["much"] * 9 + ["little"])
    assert (found["mean"], found["low"], found["high"], found["items"]) == (0.9, 0.0, 1.0, 2)
