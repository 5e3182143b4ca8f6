"""The two retrieval protocols, both ways, ties against the model: emoji within each style, photos with five captions.

Shapes: N images, M texts, D width of the row's space.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import Rows
from eval.core.prepared import Captioned
from eval.core.render import DIRECTIONS
from eval.core.statistics import Interval, by_item, resample
from vljepa.metrics.retrieval import retrieval_ranks
from vljepa.processing.text import normalise_text

KS = (1, 5, 10)
Metrics = dict[str, dict[str, float]]
Hits = dict[str, dict[str, float]]
Ranks = dict[str, list[tuple[list[str], NDArray[np.int64]]]]
"""By direction and pool: the bootstrap item of every query, and the rank of its first right answer."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a way to embed images and texts in one space.

    Args:
        name: Key in the result file.
        images: Embeddings [N, D] of images, unit norm.
        texts: Embeddings [M, D] of texts, unit norm.
        parameters: Trained parameters.
        chosen: What validation chose for it.
    """

    name: str
    images: Callable[[Sequence[Path]], Rows]
    texts: Callable[[Sequence[str]], Rows]
    parameters: int = 0
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """Images and texts that are searched in each other.

    Args:
        paths: The images.
        texts: The texts, each once in normal form.
        right: By direction, the right items of every query.
        keys: By direction, what the bootstrap draws for every query: its concept or photo.
    """

    paths: list[Path]
    texts: list[str]
    right: dict[str, list[list[int]]]
    keys: dict[str, list[str]]


def make_pool(items: Sequence[Captioned], *, first_text_only: bool) -> Pool:
    """Pool of some captioned images."""
    index: dict[str, int] = {}
    texts: list[str] = []
    text_keys: list[str] = []
    of_image: list[list[int]] = [[] for _ in items]
    of_text: list[list[int]] = []
    for number, item in enumerate(items):
        for text in item.texts[:1] if first_text_only else item.texts:
            position = index.setdefault(normalise_text(text), len(texts))
            if position == len(texts):
                texts.append(text)
                text_keys.append(item.concept)
                of_text.append([])
            if position not in of_image[number]:
                of_image[number].append(position)
                of_text[position].append(number)
    image_keys = [item.concept for item in items]
    return Pool(
        [item.path for item in items],
        texts,
        right=dict(zip(DIRECTIONS, (of_image, of_text), strict=True)),
        keys=dict(zip(DIRECTIONS, (image_keys, text_keys), strict=True)),
    )


def make_pools(items: Sequence[Captioned], *, first_text_only: bool) -> list[Pool]:
    """One pool per style of drawing."""
    styles: dict[str, list[Captioned]] = {}
    for item in items:
        styles.setdefault(item.style, []).append(item)
    return [make_pool(several, first_text_only=first_text_only) for several in styles.values()]


def source_pools(source: str, items: Sequence[Captioned]) -> list[Pool]:
    """Of `emoji` one pool per drawing style, with names alone; of `photos` one, with all captions."""
    if source == "emoji":
        return make_pools(sorted(items, key=lambda item: item.style), first_text_only=True)
    return [make_pool(items, first_text_only=False)]


def by_chance(right: int, total: int, k: int) -> float:
    """Probability that a random order has one of the right items among its first k."""
    k = min(k, total)
    return 1 - math.comb(total - right, k) / math.comb(total, k)


def chance(pools: Sequence[Pool]) -> Metrics:
    """Expected R@K of a random order: of each pool, then the mean over the pools."""

    def expected(pool: Pool, direction: str, k: int) -> float:
        total = len(pool.texts if direction == DIRECTIONS[0] else pool.paths)
        return float(np.mean([by_chance(len(right), total, k) for right in pool.right[direction]]))

    return {
        direction: {f"r{k}": float(np.mean([expected(pool, direction, k) for pool in pools])) for k in KS}
        for direction in DIRECTIONS
    }


def ranks_of(row: Row, pools: Sequence[Pool]) -> Ranks:
    """Ranks of every query both ways."""
    result: Ranks = {direction: [] for direction in DIRECTIONS}
    for pool in pools:
        sides = [row.images(pool.paths), row.texts(pool.texts)]
        for direction, (queries, items) in zip(DIRECTIONS, (sides, sides[::-1]), strict=True):
            ranks = retrieval_ranks(queries, items, positives=pool.right[direction])
            result[direction].append((pool.keys[direction], ranks))
    return result


def figures(ranks: Ranks) -> Metrics:
    """R@1/5/10, median rank and MRR both ways: of each pool, then the mean over the pools."""
    return {
        direction: {f"r{k}": float(np.mean([np.mean(ranks_N <= k) for _, ranks_N in pools])) for k in KS}
        | {
            "median_rank": float(np.mean([np.median(ranks_N) for _, ranks_N in pools])),
            "mrr": float(np.mean([np.mean(1 / ranks_N) for _, ranks_N in pools])),
        }
        for direction, pools in ranks.items()
    }


def recall_interval(pools: Sequence[tuple[Sequence[str], NDArray[np.int64]]], *, k: int) -> Interval:
    """R@K of one direction with the interval of this very figure: items are drawn, and the pools' means averaged.

    Args:
        pools: Of `Ranks`; an item may be in several, and is then drawn once for all.
        k: Ranks that count.
    """
    items = [key for keys, _ in pools for key in keys]
    columns = np.zeros((len(items), 2 * len(pools)))
    start = 0
    for number, (keys, ranks_N) in enumerate(pools):
        rows = slice(start, start + len(keys))
        columns[rows, 2 * number], columns[rows, 2 * number + 1] = ranks_N <= k, 1
        start += len(keys)
    order = sorted(range(len(items)), key=items.__getitem__)  # the draws depend on the items, not on their order
    summed = by_item(columns[order], [items[place] for place in order])[:, :-1]
    low, high = resample(summed, _mean_of_pools)
    return Interval(mean=float(_mean_of_pools(summed.sum(0)[None])[0]), low=low, high=high, items=len(summed))


def _mean_of_pools(sums_RK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over pools of hits over queries; a draw may leave a small pool without any."""
    hits, counts = sums_RK[:, 0::2], sums_RK[:, 1::2]
    shares = np.where(counts > 0, hits / np.maximum(counts, 1), 0.0)
    means: NDArray[np.float64] = shares.sum(1) / np.maximum((counts > 0).sum(1), 1)
    return means


def hits_of(ranks: Ranks) -> Hits:
    """For `image_to_text/r1` ... and, as the mean of both directions, `both/r1` ...: the share of hits by item."""
    hits: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for direction, measured in ranks.items():
        for keys, ranks_N in measured:
            for key, rank in zip(keys, ranks_N, strict=True):
                for k in (1, 5):
                    hits[f"{direction}/r{k}"][key].append(float(rank <= k))
    shares = {name: {key: float(np.mean(v)) for key, v in items.items()} for name, items in hits.items()}
    for k in (1, 5):
        one, other = (shares[f"{direction}/r{k}"] for direction in DIRECTIONS)
        shares[f"both/r{k}"] = {key: (value + other[key]) / 2 for key, value in one.items() if key in other}
    return shares


def differences(ours: Hits, theirs: Hits) -> Hits:
    """Per direction and K, item -> (our share of hits) - (theirs)."""
    result: Hits = {}
    for name, items in ours.items():
        assert items.keys() == theirs[name].keys(), f"{name}: the rows were measured on other items"
        result[name] = {key: value - theirs[name][key] for key, value in items.items()}
    return result


def main_score(row: Row, pools: Sequence[Pool]) -> float:
    """Mean of R@1 and R@5 both ways: what the baselines' settings are chosen by (R@1 alone is too noisy here)."""
    metrics = figures(ranks_of(row, pools))
    return float(np.mean([metrics[direction][f"r{k}"] for direction in DIRECTIONS for k in (1, 5)]))
