"""The benches of live sources: what they count, and their server's clock."""

import itertools
from datetime import UTC, datetime

import pytest

from eval.bench.live_server import scene_at
from eval.bench.soak import BURST, above_budget, scenes
from eval.bench.soak_live import boundaries_minus_changes
from vljepa.inference.selective import Segment


def test_decodes_at_the_rate_are_within_the_budget_and_more_are_not():
    steady = [5.0 * number for number in range(100)]

    assert above_budget(steady, rate=0.2) <= 0
    assert above_budget([100.0 + 0.1 * number for number in range(BURST)], rate=0.2) <= 0
    hasty = [*steady, *(1000.0 + 0.5 * number for number in range(10))]
    assert above_budget(hasty, rate=0.2) == pytest.approx(10 - 0.2 * 4.5 - BURST)
    assert above_budget([2.5 * number for number in range(100)], rate=0.2) > 40


def test_scenes_fill_the_time_and_are_four_seconds_long_on_average():
    lengths = scenes(seconds=7200, seed=0)

    assert 7200 <= sum(lengths) < 7260
    assert 3.8 < sum(lengths) / len(lengths) < 4.3
    assert min(lengths) == 1.0
    assert max(lengths) > 12
    assert lengths == scenes(seconds=7200, seed=0) != scenes(seconds=7200, seed=1)


def test_only_ends_that_are_no_losses_are_compared_with_changes():
    def segment(start, end):
        ended = datetime.fromtimestamp(1000.0 + end, UTC)
        return Segment(start=start, end=end, time=start, coherence=1.0, embedding=None, ended=ended)

    told = [segment(0.0, 2.25), segment(2.25, 3.9), segment(3.9, 5.0), segment(7.0, 8.5), segment(8.5, 9.0)]

    assert boundaries_minus_changes(told, scene=2.0) == pytest.approx([0.25, -0.1, 0.5])


def test_the_servers_image_depends_on_the_clock_alone():
    shown = [scene_at(1000.0 + when / 10, seconds=2.0, count=3) for when in range(120)]

    assert [(number, len(list(run))) for number, run in itertools.groupby(shown)] == [
        (2, 20),
        (0, 20),
        (1, 20),
        (2, 20),
        (0, 20),
        (1, 20),
    ]
