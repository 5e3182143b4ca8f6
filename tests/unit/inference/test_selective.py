"""Selective decoding offline and online, on clean, static and noisy streams."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vljepa.configs import SelectiveConfig
from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.words import Words

METHODS = ("two_window", "running_ward", "local_variance")
FPS = 4
WIDTH = 32


def shots(count: int, *, length: int = 16, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = np.repeat(np.eye(WIDTH)[np.arange(count) % WIDTH], length, axis=0)
    rows = rows + noise * random.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def watch(
    rows: np.ndarray, *, rate: float | None = None, max_rate: float | None = None, **config: Any
) -> list[Segment]:
    decoder = SelectiveDecoder(config=SelectiveConfig(fps=FPS, **config), rate=rate, max_rate=max_rate)
    segments = [one for place, row in enumerate(rows) for one in decoder.push(row, place / FPS)]
    return segments + decoder.close()


def check_cover(segments: list[Segment], rows: np.ndarray) -> None:
    assert segments[0].start == 0
    assert segments[-1].end == len(rows) / FPS
    for one, after in pairwise(segments):
        assert one.end == after.start
    for one in segments:
        assert one.start < one.end
        assert one.time == (one.start + one.end) / 2
        assert np.linalg.norm(one.embedding) == pytest.approx(1, abs=1e-5)
        assert 0 <= one.coherence <= 1


def wandering(count: int, *, seed: int = 0) -> np.ndarray:
    """Changes of all sizes, some of which any threshold lets through."""
    random = np.random.default_rng(seed)
    jumps = random.exponential(size=(count, 1)) * (random.random((count, 1)) < 0.25)
    rows = np.cumsum(jumps * random.normal(size=(count, WIDTH)), axis=0) + random.normal(size=WIDTH)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
class TestRate:
    @pytest.mark.parametrize("rate", [0.1, 0.3])  # no fixed threshold would do for both
    def test_online_the_threshold_follows_the_rate(self, method: str, rate: float) -> None:
        rows = np.concatenate([wandering(400, seed=seed) for seed in range(8)])
        seconds = len(rows) / FPS
        segments = watch(rows, method=method, threshold=0.2, rate=rate, window=2)
        check_cover(segments, rows)
        assert len(segments) == pytest.approx(rate * seconds, rel=0.15)

    def test_a_still_image_is_not_cut_up_to_reach_it(self, method: str) -> None:
        assert len(watch(shots(1, length=2000), method=method, threshold=1.0, rate=0.5)) == 1


@pytest.mark.parametrize("method", METHODS)
class TestOnline:
    def test_each_change_of_meaning_is_decoded_once(self, method: str) -> None:
        """PITFALLS 17: a selective decoder that keeps every step selects nothing."""
        rows = shots(6)
        segments = watch(rows, method=method)
        check_cover(segments, rows)
        assert [one.start for one in segments] == [0, 4, 8, 12, 16, 20]

    def test_a_static_stream_is_decoded_once(self, method: str) -> None:
        assert len(watch(shots(1, length=200), method=method)) == 1

    def test_a_threshold_of_zero_decodes_far_more(self, method: str) -> None:
        """The control: what the two tests above would see if the threshold did nothing.

        Everywhere, for a score that does not wait; at every peak of the noise, for one that waits for 3 rows.
        """
        segments = watch(shots(1, length=200), method=method, threshold=0.0)
        assert len(segments) == 200 if method == "running_ward" else 200 / 14 < len(segments) <= 200 / 4

    def test_a_slow_change_is_one_change(self, method: str) -> None:
        """A cross-fade of two seconds. Without a wait there are no peaks to tell its steps from its middle."""
        share = np.concatenate([np.zeros(24), np.linspace(0, 1, 8), np.ones(24)])[:, None]
        rows = (1 - share) * np.eye(WIDTH)[0] + share * np.eye(WIDTH)[1]
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        segments = watch(rows, method=method, threshold=0.3)
        check_cover(segments, rows)
        if method == "running_ward":
            assert len(segments) <= 5
        else:
            assert len(segments) == 2
            assert segments[1].start == pytest.approx(7, abs=0.5)

    def test_any_stream_is_covered(self, method: str) -> None:
        random = np.random.default_rng(1)
        for length in (1, 2, 3, 7, 8, 9, 40):
            rows = random.normal(size=(length, WIDTH)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            for readout in ("mean", "exact"):
                check_cover(watch(rows, method=method, threshold=0.3, readout=readout), rows)

    def test_the_same_rows_give_the_same_segments(self, method: str) -> None:
        rows = shots(8, noise=0.2)
        one, two = watch(rows, method=method), watch(rows, method=method)
        assert [(a.start, a.end, a.embedding.tolist()) for a in one] == [
            (b.start, b.end, b.embedding.tolist()) for b in two
        ]

    def test_memory_and_state_do_not_grow(self, method: str) -> None:
        decoder = SelectiveDecoder(config=SelectiveConfig(fps=FPS, method=method, threshold=1e6))
        rows, largest = shots(1, length=100), []
        for place in range(10_000):
            decoder.push(rows[place % 100], place / FPS)
            if place % 100 == 99:
                largest.append(held(decoder))
        assert max(largest) <= 60 * WIDTH * 4
        assert max(largest[50:]) <= max(largest[:50])
        decoder.kept_by_mistake = [rows[0].copy() for _ in range(100)]  # type: ignore[attr-defined]
        assert held(decoder) > 60 * WIDTH * 4  # the control: what is kept is seen

    def test_an_average_rate_is_kept(self, method: str) -> None:
        rows = shots(60, length=8)
        free, limited = watch(rows, method=method), watch(rows, method=method, max_rate=0.1)
        check_cover(limited, rows)
        seconds = len(rows) / FPS
        assert len(free) > 0.4 * seconds
        assert len(limited) <= 0.1 * seconds + 4  # the saved-up burst, and the last segment


def held(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of all arrays that an object holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple | deque):
        return sum(held(one, seen) for one in value)
    return sum(held(one, seen) for one in vars(value).values()) if hasattr(value, "__dict__") else 0


class TestWords:
    """What is decoded, and when."""

    @staticmethod
    def name(rows: np.ndarray, classes: np.ndarray | None) -> list[Words]:
        assert classes is None
        return [Words(str(int(row.argmax())), 0.5) for row in rows]

    def test_a_segment_is_told_within_the_delay_of_its_end(self) -> None:
        rows, config = shots(4), SelectiveConfig(fps=FPS)
        decoder = SelectiveDecoder(self.name, config=config)
        told = [(place / FPS, one) for place, row in enumerate(rows) for one in decoder.push(row, place / FPS)]
        assert [one.text for _, one in told] == ["0", "1", "2"]
        assert all(0 <= now - one.end <= config.max_delay for now, one in told)
        assert [one.text for one in decoder.close()] == ["3"]

    def test_online_segments_carry_the_mean_of_what_the_classifier_says(self) -> None:
        rows, classes = shots(2), np.repeat(np.float32([[0.2, 0.8], [0.9, 0.1]]), 16, axis=0)
        classes[0] = [1.0, 0.0]
        decoder = SelectiveDecoder(config=SelectiveConfig(fps=FPS))
        found = [
            one for place, row in enumerate(rows) for one in decoder.push(row, place / FPS, classes_K=classes[place])
        ]
        for segment in [*found, *decoder.close()]:
            inside = slice(round(segment.start * FPS), round(segment.end * FPS))
            assert segment.classes == pytest.approx(classes[inside].mean(0), abs=1e-6)

    def test_a_boundary_waits_for_the_budget_and_then_merges(self) -> None:
        """Shots of 4 s, a decode every 5: the boundary at 8 s comes while the budget is empty, and is taken later."""
        rows = shots(3, length=16)
        assert [one.start for one in watch(rows)] == [0, 4, 8]
        segments = watch(rows, max_rate=1 / 5)
        check_cover(segments, rows)
        assert [one.start for one in segments[:2]] == [0, 4]
        assert len(segments) == 3
        assert 9.5 <= segments[2].start <= 11

    def test_a_boundary_that_finds_no_budget_until_the_end_is_merged(self) -> None:
        rows = shots(3, length=16)
        segments = watch(rows, max_rate=1 / 20)
        check_cover(segments, rows)
        assert [one.start for one in segments] == [0, 4]

    @pytest.mark.parametrize("length", [5, 100, 3000])
    def test_the_exact_row_is_near_the_midpoint(self, length: int) -> None:
        """Of a live stream only a few rows are kept: at most a sixteenth of the segment away."""
        angle = np.linspace(0, 1, length)
        rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        [live] = watch(rows, readout="exact", threshold=1e6)
        decoder = SelectiveDecoder(config=SelectiveConfig(fps=FPS, readout="exact"))
        [whole] = decoder.offline(rows, np.arange(length) / FPS, count=1)
        where = [float(np.arctan2(one.embedding[1], one.embedding[0])) for one in (live, whole)]
        assert where[1] == pytest.approx(0.5, abs=1 / length)
        assert where[0] == pytest.approx(0.5, abs=1 / 16 + 1 / length)
        assert any(np.array_equal(live.embedding, row) for row in rows)

    def test_a_caller_may_reuse_its_row(self) -> None:
        rows, buffer = shots(3), np.empty(WIDTH, np.float32)
        decoder, segments = SelectiveDecoder(config=SelectiveConfig(fps=FPS)), []
        for place, row in enumerate(rows):
            buffer[:] = row
            segments += decoder.push(buffer, place / FPS)
        segments += decoder.close()
        assert [one.embedding.tolist() for one in segments] == [one.embedding.tolist() for one in watch(rows)]

    def test_coherence_is_the_mean_cosine_to_the_mean(self) -> None:
        rows = shots(1, noise=0.3)
        [only] = watch(rows, threshold=1e6)
        assert only.coherence == pytest.approx(float((rows @ only.embedding).mean()), abs=1e-6)
        assert watch(shots(1, noise=0.01), threshold=1e6)[0].coherence > only.coherence
