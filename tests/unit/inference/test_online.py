"""Change scores against their definitions, the delay and the steadiness of each, peaks and the budget of decodes."""

from __future__ import annotations

import numpy as np
import pytest

from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError
from vljepa.inference.online import Change, LocalVariance, PeakPicker, RateBudget, RunningWard, TwoWindow, change_of

ROWS = np.random.default_rng(0).normal(size=(30, 5))
CUT = np.repeat(np.eye(2), 10, axis=0)


def scores(change: Change, rows: np.ndarray) -> list[float]:
    return [change.push(row) for row in rows]


class TestScores:
    def test_running_ward_is_the_ward_distance_of_the_row_and_all_rows_before(self) -> None:
        expected = [
            np.sqrt(2 * place / (place + 1)) * np.linalg.norm(ROWS[place] - ROWS[:place].mean(0))
            for place in range(1, len(ROWS))
        ]
        assert scores(RunningWard(), ROWS) == pytest.approx([0, *expected])

    def test_running_ward_forgets_what_is_closed(self) -> None:
        change = RunningWard()
        scores(change, ROWS[:7])
        change.restart(list(ROWS[5:7]))
        assert change.push(ROWS[7]) == pytest.approx(np.sqrt(4 / 3) * np.linalg.norm(ROWS[7] - ROWS[5:7].mean(0)))

    @pytest.mark.parametrize("width", [1, 2, 4])
    def test_two_window_is_the_distance_of_the_means_before_and_after(self, width: int) -> None:
        got = scores(TwoWindow(width), ROWS)
        for newest in range(2 * width - 1, len(ROWS)):
            point = newest - (width - 1)
            before, after = ROWS[point - width : point], ROWS[point : point + width]
            assert got[newest] == pytest.approx(np.linalg.norm(after.mean(0) - before.mean(0)))
        assert got[: 2 * width - 1] == [0] * (2 * width - 1)

    @pytest.mark.parametrize("width", [1, 2, 4])
    def test_local_variance_is_that_of_the_rows_around(self, width: int) -> None:
        got = scores(LocalVariance(width), ROWS)
        for newest in range(2 * width - 1, len(ROWS)):
            around = ROWS[newest - 2 * width + 1 : newest + 1]
            assert got[newest] == pytest.approx(np.sqrt(around.var(0).sum()))

    @pytest.mark.parametrize("change", [RunningWard(), TwoWindow(3), LocalVariance(3)])
    def test_the_score_is_that_of_the_row_that_the_delay_says(self, change: Change) -> None:
        assert int(np.argmax(scores(change, CUT))) - change.delay == 10

    @pytest.mark.parametrize("change", [RunningWard(), TwoWindow(3), LocalVariance(3)])
    def test_where_nothing_changes_the_score_is_zero(self, change: Change) -> None:
        assert scores(change, np.ones((50, 3))) == [0] * 50

    @pytest.mark.parametrize(
        ("method", "kind"),
        [("running_ward", RunningWard), ("two_window", TwoWindow), ("local_variance", LocalVariance)],
    )
    def test_a_config_names_the_score(self, method: str, kind: type) -> None:
        change = change_of(SelectiveConfig.model_validate({"method": method, "window": 3}))
        assert type(change) is kind
        assert change.delay == (0 if method == "running_ward" else 2)


class TestPeaks:
    @staticmethod
    def peaks(values: list[float], *, hold: int) -> list[int]:
        picker = PeakPicker(threshold=0.5, hold=hold)
        declared = [(place, picker.push(value)) for place, value in enumerate(values)]
        return [place - ago for place, ago in declared if ago is not None]

    def test_a_peak_is_declared_once_and_at_its_highest(self) -> None:
        picker = PeakPicker(threshold=0.5, hold=2)
        declared = [picker.push(score) for score in (0.1, 0.6, 0.9, 0.8, 0.4, 0.1, 0.1)]
        assert declared == [None, None, None, None, 2, None, None]

    def test_the_far_slope_of_a_slow_change_is_no_peak(self) -> None:
        """A cross-fade longer than the window: its score stays above the threshold after the peak is declared."""
        assert self.peaks([0.6, 0.8, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.1], hold=2) == [2]

    def test_of_equal_scores_the_first_is_the_peak(self) -> None:
        assert self.peaks([0.1, *[0.9] * 8, 0.1, 0.1], hold=3) == [1]

    def test_two_changes_farther_apart_than_the_wait_are_two(self) -> None:
        values = [0.1, 0.9, 0.1, 0.1, 0.8, 0.1, 0.1]
        assert self.peaks(values, hold=2) == [1, 4]
        assert self.peaks(values, hold=3) == [1]

    def test_without_a_wait_every_score_above_the_threshold_is_declared(self) -> None:
        assert self.peaks([0.1, 0.9, 0.8, 0.5, 0.6], hold=0) == [1, 2, 4]

    def test_the_threshold_itself_is_not_above_it(self) -> None:
        assert self.peaks([0.5, 0.5, 0.5, 0.5], hold=1) == []


class TestBudget:
    @pytest.mark.parametrize("rate", [0.1, 0.5, 2.0])
    def test_the_average_is_kept_however_often_it_is_asked(self, rate: float) -> None:
        budget = RateBudget(rate)
        times = np.arange(0, 100, 0.25)
        spent = sum(budget.spend(time) for time in times)
        assert 0.9 * rate * 100 <= spent <= rate * 100 + 1

    def test_quiet_time_saves_up_no_more_than_a_burst(self) -> None:
        budget = RateBudget(1.0, burst=3)
        assert budget.spend(0)
        assert [budget.spend(1000 + step / 100) for step in range(6)] == [True, True, True, False, False, False]

    def test_without_savings_a_stream_starts_with_one(self) -> None:
        budget = RateBudget(0.5)
        assert [budget.spend(time) for time in (10, 10.5, 11, 12.1)] == [True, False, False, True]

    @pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
    def test_a_rate_of_nothing_is_refused(self, rate: float) -> None:
        with pytest.raises(ConfigError, match="never decodes"):
            RateBudget(rate)

    @pytest.mark.parametrize("burst", [0.0, 0.9, float("nan")])
    def test_a_burst_of_less_than_one_is_refused(self, burst: float) -> None:
        with pytest.raises(ConfigError, match="never decodes"):
            RateBudget(1.0, burst=burst)

    def test_a_charge_is_paid_for_later(self) -> None:
        budget = RateBudget(1.0)
        for time in (0.0, 0.1, 0.2, 0.3):
            budget.charge(time)
        assert [budget.spend(time) for time in (1.0, 2.0, 3.0, 3.9, 4.1)] == [False, False, False, False, True]
