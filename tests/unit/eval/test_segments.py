"""The measurement of search in time on small known videos."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from eval import registry
from eval.core.prepared import Captioned
from eval.tasks.made.methods import Watched
from eval.tasks.made.streams import FPS, Frame, Stream
from eval.tasks.segments import (
    Indexes,
    by_chance,
    cut_all,
    oracle,
    ours,
    right_segments,
    score,
    uniform,
)
from vljepa.configs import SelectiveConfig
from vljepa.inference.segments import VideoSegment

EYE = np.eye(4, dtype=np.float32)


def video(*shots: tuple[int, float]) -> Watched:
    """Shots of (image, seconds), each frame of which is embedded as the image's own axis."""
    shown = [image for image, seconds in shots for _ in range(round(seconds * FPS))]
    starts = np.cumsum([0, *(round(seconds * FPS) for _, seconds in shots)])[:-1].tolist()
    images = tuple(image for image, _ in shots)
    stream = Stream(tuple(Frame(one, 0) for one in shown), tuple(starts), images, (0.5,) * len(shots))
    return Watched(stream, EYE[shown], np.zeros((len(shown), 1, 1)))


def world(*videos: Watched, queries: np.ndarray = EYE) -> Indexes:
    images: Any = [
        Captioned(path=None, texts=("a",), source_id=f"{one}", concept="", style="")  # type: ignore[arg-type]
        for one in range(4)
    ]
    return Indexes(images, {0: list(videos)}, queries, np.arange(4))


def spans(segments: list[VideoSegment]) -> list[tuple[float, float]]:
    return [(one.start, one.end) for one in segments]


CLEAR = video((0, 3), (1, 1), (2, 2))


def test_arms_cut_as_their_names_say() -> None:
    assert spans(oracle(CLEAR)) == spans(ours(CLEAR, SelectiveConfig())) == [(0, 3), (3, 4), (4, 6)]
    assert spans(uniform(CLEAR, 3)) == [(0, 2), (2, 4), (4, 6)]
    assert spans(uniform(CLEAR, 5))[-1] == (4.75, 6)
    assert all(one.end == two.start for one, two in pairwise(uniform(CLEAR, 5)))
    np.testing.assert_allclose(uniform(CLEAR, 3)[1].row_D, [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-6)


def test_a_segment_is_right_from_the_overlap_on_and_numbered_through_all_videos() -> None:
    other = video((0, 4))
    cuts = [uniform(CLEAR, 3), uniform(other, 2)]

    # Overlaps: (0,2) with (0,3) is 2/3; (2,4) with (3,4) is 1/2; (0,2) with (0,4) is 1/2.
    assert right_segments([CLEAR, other], cuts, 0.5) == {0: [0, 3, 4], 1: [1], 2: [2]}
    assert right_segments([CLEAR, other], cuts, 0.6) == {0: [0], 2: [2]}


def test_right_segments_are_found_and_a_query_without_any_is_missed() -> None:
    asked = world(CLEAR, video((3, 2)))

    best = score(asked, cut_all(asked, oracle))
    worse = score(asked, cut_all(asked, lambda one: uniform(one, 2)))

    assert best.ranks[0.7].tolist() == [1, 1, 1, 1]
    assert worse.ranks[0.5].tolist()[1] == np.inf  # one second of a window of three
    assert best.figures()["iou 0.5"]["r1"]["mean"] == 1
    assert best.minus(worse)["iou 0.5"]["r5"]["mean"] > 0


def test_only_images_that_are_shown_are_asked_for_and_ties_count_against() -> None:
    asked = world(CLEAR)
    assert score(asked, cut_all(asked, oracle)).about == ["0", "1", "2"]

    constant = world(Watched(CLEAR.stream, np.tile(EYE[:1], (24, 1)), CLEAR.grey), queries=np.tile(EYE[:1], (4, 1)))
    assert score(constant, cut_all(constant, oracle)).ranks[0.5].tolist() == [3, 3, 3]


def test_chance_is_that_of_a_random_order() -> None:
    assert by_chance(0, 10, 5) == 0
    assert by_chance(2, 10, 1) == pytest.approx(0.2)
    draws = np.random.default_rng(0).permuted(np.tile(np.arange(10), (20_000, 1)), axis=1)
    assert by_chance(2, 10, 5) == pytest.approx((draws[:, :5] < 2).any(1).mean(), abs=0.01)

    asked = world(CLEAR)
    assert score(asked, cut_all(asked, oracle)).chance[0.5][1] == pytest.approx(1 / 3)


def test_the_report_has_every_arm() -> None:
    asked = world(CLEAR, video((3, 2)))
    one = score(asked, cut_all(asked, oracle))
    row = one.figures()
    text = registry.tables(
        "segments",
        {
            "settings": {"videos": 2, "seconds": 6, "seeds": [0]}, "arms": {"segments": row, "uniform": row},
            "chance": {f"iou {overlap}": {f"r{k}": value for k, value in some.items()}
                       for overlap, some in one.chance.items()},
            "segments minus uniform": one.minus(one), "by_threshold": {"1": row}, "threshold": 1.0,
            "command": "python -m eval.segments", "split": "test", "commit": "0123456789abcdef", "date": "2026-11-25",
            "hardware": "a CPU", "protocol": {"videos": "two"}, "photos": 4, "indexes": 1, "shots": 4, "queries": 4,
        }
    )  # fmt: skip
    assert "| uniform | 4 | 100.0 [100.0, 100.0] |" in text
    assert "| chance |  | 25.0 | 100.0 | 25.0 | 100.0 |" in text
    assert "| segments minus uniform |  | 0.0 [0.0, 0.0] |" in text
