from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.core.prepared import Captioned
from eval.tasks.pools import (
    Row,
    chance,
    differences,
    figures,
    hits_of,
    main_score,
    ranks_of,
    recall_interval,
    source_pools,
)


def emoji(concepts: int) -> list[Captioned]:
    return [
        Captioned(Path(f"{style}/{number}"), (f"thing {number}", "not used"), f"{style}/{number}", f"c{number}", style)
        for style in ("round", "square")
        for number in range(concepts)
    ]


def row_of(vectors: dict[str, int], *, width: int, shuffle: bool = False) -> Row:
    eye = np.eye(width, dtype=np.float32)

    def images(paths: Sequence[Path]) -> np.ndarray:
        return eye[[(vectors[path.name] + shuffle) % width for path in paths]]

    def texts(texts: Sequence[str]) -> np.ndarray:
        return eye[[vectors[text.split()[-1]] for text in texts]]

    return Row("row", images, texts)


def test_emoji_are_searched_within_their_style() -> None:
    pools = source_pools("emoji", emoji(5))
    assert [len(pool.paths) for pool in pools] == [5, 5]
    assert pools[0].texts == [f"thing {number}" for number in range(5)]
    vectors = {str(number): number for number in range(5)}
    ranks = ranks_of(row_of(vectors, width=5), pools)
    metrics, hits = figures(ranks), hits_of(ranks)
    assert metrics["image_to_text"]["r1"] == metrics["text_to_image"]["r1"] == 1.0
    assert hits["image_to_text/r1"] == {f"c{number}": 1.0 for number in range(5)}


def test_wrong_rows_score_nothing_and_constant_rows_lose_every_tie() -> None:
    pools = source_pools("emoji", emoji(20))
    vectors = {str(number): number for number in range(20)}
    assert figures(ranks_of(row_of(vectors, width=20, shuffle=True), pools))["image_to_text"]["r1"] == 0.0
    constant = figures(ranks_of(row_of(dict.fromkeys(vectors, 0), width=20), pools))
    assert constant["image_to_text"]["r10"] == constant["text_to_image"]["r10"] == 0.0


def test_a_photo_has_several_right_captions() -> None:
    photos = [
        Captioned(Path(str(number)), tuple(f"text {letter} {number}" for letter in "abcde"), str(number), "p", "photo")
        for number in range(4)
    ]
    [pool] = source_pools("photos", photos)
    assert len(pool.texts) == 20
    assert pool.right["image_to_text"][1] == [5, 6, 7, 8, 9]
    assert pool.right["text_to_image"][7] == [1]


def test_texts_that_two_images_share_are_right_for_both() -> None:
    items = [Captioned(Path(name), ("The sun.",), name, f"c{name}", "round") for name in "ab"]
    [pool] = source_pools("emoji", items)
    assert pool.texts == ["The sun."]
    assert pool.right["text_to_image"] == [[0, 1]]


def test_chance_is_that_of_a_random_order() -> None:
    pools = source_pools("emoji", emoji(209))
    assert chance(pools)["image_to_text"] == {
        "r1": pytest.approx(1 / 209),
        "r5": pytest.approx(5 / 209),
        "r10": pytest.approx(10 / 209),
    }
    photos = source_pools(
        "photos",
        [Captioned(Path(str(n)), tuple(f"{letter} {n}" for letter in "abcde"), str(n), "p", "x") for n in range(84)],
    )
    found = chance(photos)
    assert found["image_to_text"]["r1"] == pytest.approx(5 / 420)
    assert found["text_to_image"]["r5"] == pytest.approx(5 / 84)
    assert found["image_to_text"]["r5"] == pytest.approx(0.0583, abs=5e-4)


def test_differences_are_per_item_and_refuse_other_items() -> None:
    keys = ["a", "b"]
    pools = {way: [(keys, np.array(ranks))] for way, ranks in (("image_to_text", [1, 9]), ("text_to_image", [1, 3]))}
    ours = hits_of(pools)
    assert ours["both/r1"] == {"a": 1.0, "b": 0.0}
    assert ours["both/r5"] == {"a": 1.0, "b": 0.5}
    theirs = {name: {"a": 0.0, "b": 1.0} for name in ours}
    assert differences(ours, theirs)["both/r1"] == {"a": 1.0, "b": -1.0}
    with pytest.raises(AssertionError, match="other items"):
        differences(ours, {name: {"a": 0.0} for name in ours})


def test_main_score_is_the_mean_of_four() -> None:
    vectors = {str(number): number for number in range(5)}
    pools = source_pools("emoji", emoji(5))
    assert main_score(row_of(vectors, width=5), pools) == pytest.approx(1.0)
    # Turned by one, no image has its name; among five names each is found all the same.
    assert main_score(row_of(vectors, width=5, shuffle=True), pools) == pytest.approx(0.5)


def test_a_mean_over_pools_of_other_sizes_lies_inside_its_interval() -> None:
    """Of 200 items in one pool none is found, of 20 in another all: half, where a mean over items says a tenth."""
    keys = [[f"a{number}" for number in range(200)], [f"b{number}" for number in range(20)]]
    pools = [(keys[0], np.full(200, 9)), (keys[1], np.full(20, 1))]
    found = recall_interval(pools, k=1)
    assert found == {"mean": 0.5, "low": 0.5, "high": 0.5, "items": 220}
    mixed = [(keys[0], np.where(np.arange(200) < 20, 1, 9)), (keys[1], np.where(np.arange(20) < 18, 1, 9))]
    found = recall_interval(mixed, k=1)
    assert found["mean"] == pytest.approx((0.1 + 0.9) / 2)
    assert found["low"] < found["mean"] < found["high"]
    # Of the two pools the small one is the unsure one: the deviation of its share, halved.
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 20 + 0.09 / 200) / 2, rel=0.15)


def test_an_image_with_more_texts_counts_for_more_in_mean_and_interval() -> None:
    """Ten texts of one image are found, one each of ten others is not: 10 of 20, and not 1 of 11."""
    keys = ["much"] * 10 + [f"little {number}" for number in range(10)]
    found = recall_interval([(keys, np.array([1] * 10 + [7] * 10))], k=5)
    assert (found["mean"], found["items"]) == (0.5, 11)
    assert found["low"] == 0.0
    assert 0.5 < found["high"] < 1.0


def test_items_of_several_pools_are_drawn_together() -> None:
    keys = [f"c{number}" for number in range(40)]
    ranks = np.where(np.arange(40) % 2, 1, 9)
    three, one = recall_interval([(keys, ranks)] * 3, k=1), recall_interval([(keys, ranks)], k=1)
    assert three == pytest.approx(one)


def test_the_interval_does_not_depend_on_the_order_of_the_items() -> None:
    keys, ranks = [f"c{number:02}" for number in range(30)], np.where(np.arange(30) % 3, 1, 9)
    turned = recall_interval([(keys[::-1], ranks[::-1])], k=1)
    assert turned == recall_interval([(keys, ranks)], k=1)
