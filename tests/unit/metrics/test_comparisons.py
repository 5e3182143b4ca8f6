"""Strict comparisons of cosines, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vljepa.metrics.comparisons import by_category, multiple_choice, pair_hits, triplet_hits, winoground


def unit(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)


def test_a_triplet_is_right_when_both_captions_are_nearer_to_each_other() -> None:
    first, second = unit(0, 0, 0), unit(10, 10, 10)
    #  far from both; nearer to the second than the first is; nearer to the first than the second is
    assert triplet_hits(first, second, unit(60, 15, -5)).tolist() == [True, False, False]


def test_a_pair_is_right_when_the_image_prefers_its_own_caption() -> None:
    assert pair_hits(unit(0, 0), unit(10, 30), unit(20, 20)).tolist() == [True, False]


def test_winoground_wants_both_ways() -> None:
    right = (unit(0, 90), unit(0, 90))
    #  both captions nearer to the first image
    texts_fail = (unit(0, 40), unit(5, -10))
    figures = winoground(np.stack([right[0], texts_fail[0]]), np.stack([right[1], texts_fail[1]]))
    assert figures == {"text": 0.5, "image": 0.5, "group": 0.5}
    swapped = winoground(right[0][None], right[1][None, ::-1])
    assert swapped == {"text": 0.0, "image": 0.0, "group": 0.0}


def test_winoground_tells_text_from_image() -> None:
    # Image 0 prefers caption 0, image 1 caption 1; but caption 0 is nearer to image 1.
    images, captions = unit(0, 30)[None], unit(18, 40)[None]
    figures = winoground(images, captions)
    assert figures["text"] == 1.0
    assert figures["image"] == 0.0 == figures["group"]


def test_the_nearest_clip_is_chosen() -> None:
    clips = np.stack([unit(0, 30, 60, 90), unit(0, 30, 60, 90)])
    assert multiple_choice(unit(62, 62), clips, np.array([2, 1])) == 0.5


def test_categories_and_rows_are_weighed_apart() -> None:
    figures = by_category(np.array([True, True, True, False]), ["a", "a", "a", "b"])
    assert figures == {"a": 1.0, "b": 0.0, "macro": 0.5, "rows": pytest.approx(0.75)}
