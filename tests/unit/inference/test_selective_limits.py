"""Selective decoding offline, what it refuses, and interruptions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.inference.test_selective import FPS, METHODS, WIDTH, check_cover, shots
from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError, DataError
from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.words import Words


class TestOffline:
    @pytest.mark.parametrize("readout", ["mean", "exact"])
    def test_segments_cover_the_stream(self, readout: str) -> None:
        rows = shots(5, noise=0.1)
        decoder = SelectiveDecoder(config=SelectiveConfig(fps=FPS, readout=readout))
        for count in (1, 5, 17, len(rows)):
            segments = decoder.offline(rows, np.arange(len(rows)) / FPS, count=count)
            assert len(segments) == count
            check_cover(segments, rows)

    def test_a_rate_and_a_threshold_say_how_many(self) -> None:
        rows = shots(5)
        decoder, times = SelectiveDecoder(config=SelectiveConfig(fps=FPS)), np.arange(80) / FPS
        assert len(decoder.offline(rows, times, rate=0.25)) == 5
        assert len(decoder.offline(rows, times, threshold=1.0)) == 5
        assert len(decoder.offline(rows, times, threshold=0.0)) == 80
        assert len(decoder.offline(rows, times)) == 5

    def test_each_segment_is_decoded_once_and_in_one_batch(self) -> None:
        asked: list[int] = []

        def decode(rows: np.ndarray, classes: np.ndarray | None) -> list[Words]:
            asked.append(len(rows))
            assert classes is not None
            return [
                Words(f"{int(row.argmax())} {int(one.argmax())}", float(one.max()))
                for row, one in zip(rows, classes, strict=True)
            ]

        rows = shots(5)
        classes = np.repeat(np.eye(5, dtype=np.float32)[::-1], 16, axis=0)
        decoder = SelectiveDecoder(decode, config=SelectiveConfig(fps=FPS))
        segments = decoder.offline(rows, np.arange(80) / FPS, count=5, classes_TK=classes)
        assert [one.text for one in segments] == ["0 4", "1 3", "2 2", "3 1", "4 0"]
        assert [one.confidence for one in segments] == [1.0] * 5
        assert asked == [5]

    def test_nothing_to_see_is_nothing_to_say(self) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig())
        assert decoder.offline(np.zeros((0, 4), np.float32), []) == []
        assert decoder.close() == []

    def test_opposite_rows_are_read_at_the_midpoint(self) -> None:
        rows = np.array([[1, 0], [-1, 0]], dtype=np.float32)
        [only] = SelectiveDecoder(config=SelectiveConfig()).offline(rows, [0, 1], count=1)
        assert np.linalg.norm(only.embedding) == 1
        assert only.coherence == 0


class TestRefusals:
    def test_two_ways_to_say_how_many(self) -> None:
        with pytest.raises(ConfigError, match="three ways"):
            SelectiveDecoder(config=SelectiveConfig()).offline(shots(2), np.arange(32), count=2, rate=1.0)

    @pytest.mark.parametrize("times", [np.zeros(16), np.arange(15), [*range(15), np.nan], [*range(15), np.inf]])
    def test_times_that_do_not_ascend(self, times: Any) -> None:
        with pytest.raises(DataError, match="must ascend"):
            SelectiveDecoder(config=SelectiveConfig()).offline(shots(1), times)

    def test_times_without_rows(self) -> None:
        with pytest.raises(DataError, match="2 times for 0 rows"):
            SelectiveDecoder(config=SelectiveConfig()).offline(shots(1)[:0], [0, 1])

    @pytest.mark.parametrize("how", [{"rate": 0}, {"rate": np.inf}, {"rate": np.nan}, {"threshold": np.nan}])
    def test_a_number_that_says_nothing(self, how: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match=f"= {next(iter(how.values()))}"):
            SelectiveDecoder(config=SelectiveConfig()).offline(shots(1), np.arange(16), **how)  # type: ignore[arg-type]

    def test_a_row_that_is_not_a_number(self) -> None:
        with pytest.raises(DataError, match=r"at 1.5 s is not a number"):
            SelectiveDecoder(config=SelectiveConfig()).push(np.full(4, np.nan, np.float32), 1.5)

    def test_time_that_goes_back(self) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig())
        decoder.push(shots(1)[0], 2.0)
        with pytest.raises(DataError, match="time order"):
            decoder.push(shots(1)[1], 2.0)

    @pytest.mark.parametrize("time", [float("nan"), float("inf"), 1.0])
    def test_a_time_that_is_no_later_time(self, time: float) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig())
        decoder.push(shots(1)[0], 2.0)
        with pytest.raises(DataError, match="time order"):
            decoder.push(shots(1)[1], time)
        assert decoder.push(shots(1)[1], 2.25) == []  # nothing of it was kept
        assert decoder.close()[0].end == 2.5

    @pytest.mark.parametrize("row", [np.ones(3, np.float32), np.ones((1, WIDTH), np.float32)])
    def test_a_row_of_another_model(self, row: np.ndarray) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig())
        decoder.push(shots(1)[0], 0.0)
        with pytest.raises(DataError, match="has shape"):
            decoder.push(row, 0.25)

    def test_a_block_of_rows_at_once(self) -> None:
        with pytest.raises(DataError, match="has shape"):
            SelectiveDecoder(config=SelectiveConfig()).push(shots(1), 0.0)

    def test_a_row_after_the_end(self) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig())
        decoder.close()
        with pytest.raises(DataError, match="closed"):
            decoder.push(shots(1)[0], 0.0)

    def test_a_window_that_answers_too_late(self) -> None:
        with pytest.raises(ConfigError, match="max_delay"):
            SelectiveDecoder(config=SelectiveConfig(fps=1, window=4))

    def test_a_window_that_answers_just_in_time(self) -> None:
        """A score knows `window - 1` rows more, and its peak is held for as many: 4 rows with a window of 3."""
        config = SelectiveConfig(fps=4, method="two_window", window=3, threshold=0.5, max_delay=1.0)
        decoder = SelectiveDecoder(config=config)
        rows = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
        told = [place for place, row in enumerate(rows) if decoder.push(row, place / 4)]
        assert told == [10 + 4]
        with pytest.raises(ConfigError, match=r"answers 1\.00 s late .* more than max_delay = 0\.99"):
            SelectiveDecoder(config=config.model_copy(update={"max_delay": 0.99}))


@pytest.mark.parametrize("method", METHODS)
class TestInterrupt:
    def decoder(self, method: str, **settings: Any) -> SelectiveDecoder:
        return SelectiveDecoder(config=SelectiveConfig(fps=FPS, method=method, threshold=0.5), **settings)

    def push(self, decoder: SelectiveDecoder, rows: np.ndarray, *, begin: float) -> list[Segment]:
        return [one for place, row in enumerate(rows) for one in decoder.push(row, begin + place / FPS)]

    def test_what_was_open_ends_with_its_last_row_and_what_comes_begins_anew(self, method: str) -> None:
        decoder = self.decoder(method)
        rows = shots(3, length=20, noise=0.001)
        segments = self.push(decoder, rows[:30], begin=0.0) + decoder.interrupt()
        after = self.push(decoder, rows[30:], begin=100.0) + decoder.close()

        assert [(one.start, one.end) for one in segments] == [(0.0, 5.0), (5.0, 7.5)]
        assert [(one.start, one.end) for one in after] == [(100.0, 102.5), (102.5, 107.5)]

    def test_what_was_before_the_gap_is_no_change_after_it(self, method: str) -> None:
        decoder = self.decoder(method)
        self.push(decoder, shots(1, length=40), begin=0.0)
        decoder.interrupt()
        other = np.roll(shots(1, length=40), 5, axis=1)

        assert self.push(decoder, other, begin=100.0) == []
        [last] = decoder.close()
        assert last.start == 100.0
        assert last.coherence > 0.9

    def test_twice_is_once_and_nothing_is_nothing(self, method: str) -> None:
        decoder = self.decoder(method)

        assert decoder.interrupt() == []
        decoder.push(shots(1)[0], 0.0)
        assert len(decoder.interrupt()) == 1
        assert decoder.interrupt() == []
        assert decoder.close() == []

    def test_a_single_row_lasts_its_usual_time_whatever_the_gap_before_it(self, method: str) -> None:
        decoder = self.decoder(method)
        decoder.push(shots(1)[0], 0.0)
        decoder.interrupt()
        decoder.push(shots(1)[0], 500.0)

        [only] = decoder.interrupt()
        assert (only.start, only.end) == (500.0, 500.25)

    def test_frames_that_were_lost_before_the_end_do_not_prolong_it(self, method: str) -> None:
        decoder = self.decoder(method)
        for time in (0.0, 0.25, 60.0):
            decoder.push(shots(1)[0], time)

        [only] = decoder.interrupt()
        assert (only.start, only.end) == (0.0, 60.25)

    @pytest.mark.parametrize("free", [False, True])
    def test_a_source_that_comes_and_goes_pays_for_its_decodes(
        self, method: str, free: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Twenty losses are two hundred seconds of budget; and the control."""
        if free:
            monkeypatch.setattr("vljepa.inference.online.RateBudget.charge", lambda self, time: None)
        decoder = self.decoder(method, max_rate=0.1)
        for second in range(20):
            decoder.push(shots(1)[0], float(second))
            assert len(decoder.interrupt()) == 1

        soon = self.push(decoder, shots(10, length=20, noise=0.001), begin=30.0)
        later = self.push(decoder, shots(10, length=20, noise=0.001), begin=500.0)

        assert bool(soon) == free
        assert later
