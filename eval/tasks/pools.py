"""The two retrieval protocols, both ways, ties against the model: emoji within each style, photos with five captions.

Shapes: N pictures, M texts, D width of the row's space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.core.prepared import Captioned
from eval.core.render import DIRECTIONS
from eval.core.statistics import Interval, by_item, resample
from vljepa.metrics.retrieval import retrieval_ranks
from vljepa.processing.text import normalise_text

KS = (1, 5, 10)
Rows = NDArray[np.float32]
Metrics = dict[str, dict[str, float]]
Hits = dict[str, dict[str, float]]

EMOJI_PROTOCOL = (
    "One picture per concept and style, its name as the caption. R@K within each style's own pool, then the mean over "
    "the styles."
)
PHOTOS_PROTOCOL = "Every caption is a text of its own: a picture has several right texts, a text one right picture."


@dataclass(frozen=True)
class Row:
    """One line of the table: a way to embed pictures and texts in one space.

    Args:
        name: Key in the result file.
        images: Embeddings [N, D] of pictures, unit norm.
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
        paths: The pictures.
        texts: The texts, each once in normal form.
        texts_of_image: Right texts of every picture.
        images_of_text: Right pictures of every text.
        image_keys: Item of the bootstrap that a picture belongs to (its concept or photo).
        text_keys: The same for every text.
    """

    paths: list[Path]
    texts: list[str]
    texts_of_image: list[list[int]]
    images_of_text: list[list[int]]
    image_keys: list[str]
    text_keys: list[str]


def make_pool(items: Sequence[Captioned], *, first_text_only: bool) -> Pool:
    """Pool of some captioned pictures."""
    index: dict[str, int] = {}
    texts: list[str] = []
    text_keys: list[str] = []
    of_image: list[list[int]] = []
    of_text: list[list[int]] = []
    for number, item in enumerate(items):
        own: list[int] = []
        for text in item.texts[:1] if first_text_only else item.texts:
            position = index.setdefault(normalise_text(text), len(texts))
            if position == len(texts):
                texts.append(text)
                text_keys.append(item.concept)
                of_text.append([])
            if position not in own:
                own.append(position)
                of_text[position].append(number)
        of_image.append(own)
    return Pool([item.path for item in items], texts, of_image, of_text, [item.concept for item in items], text_keys)


def emoji_pools(items: Sequence[Captioned]) -> list[Pool]:
    """One pool per drawing style."""
    styles = sorted({item.style for item in items})
    return [make_pool([item for item in items if item.style == style], first_text_only=True) for style in styles]


def photo_pools(items: Sequence[Captioned]) -> list[Pool]:
    """One pool of all photos and all captions."""
    return [make_pool(items, first_text_only=False)]


def chance(pools: Sequence[Pool]) -> Metrics:
    """Expected R@K of a random order: a query with p of M right items hits with 1 - C(M-p, K) / C(M, K)."""
    result: Metrics = {}
    for direction in DIRECTIONS:
        values: dict[str, list[float]] = defaultdict(list)
        for pool in pools:
            positives, total = _direction(pool, direction)
            for k in KS:
                missed = [_all_missed(len(right), total, k) for right in positives]
                values[f"r{k}"].append(1 - float(np.mean(missed)))
        result[direction] = {name: float(np.mean(shares)) for name, shares in values.items()}
    return result


def _all_missed(right: int, total: int, k: int) -> float:
    left = np.arange(min(k, total))
    return float(np.prod(np.clip((total - right - left) / (total - left), 0, None)))


def _direction(pool: Pool, direction: str) -> tuple[list[list[int]], int]:
    if direction == "image_to_text":
        return pool.texts_of_image, len(pool.texts)
    return pool.images_of_text, len(pool.paths)


Ranks = dict[str, list[tuple[list[str], NDArray[np.int64]]]]
"""By direction and pool: the bootstrap item of every query, and the rank of its first right answer."""


def ranks_of(row: Row, pools: Sequence[Pool]) -> Ranks:
    """Ranks of every query both ways."""
    result: Ranks = {direction: [] for direction in DIRECTIONS}
    for pool in pools:
        images_ND, texts_MD = row.images(pool.paths), row.texts(pool.texts)
        sides = {
            "image_to_text": (images_ND, texts_MD, pool.texts_of_image, pool.image_keys),
            "text_to_image": (texts_MD, images_ND, pool.images_of_text, pool.text_keys),
        }
        for direction, (queries, items, positives, keys) in sides.items():
            result[direction].append((keys, retrieval_ranks(queries, items, positives=positives)))
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


def measure(row: Row, pools: Sequence[Pool]) -> tuple[Metrics, Hits]:
    """R@1/5/10, median rank and MRR both ways (means over the pools), and the hits behind R@1 and R@5.

    Returns:
        Metrics by direction, and for each of `image_to_text/r1` ... the share of hits by bootstrap item.
    """
    ranks = ranks_of(row, pools)
    hits: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for direction, measured in ranks.items():
        for keys, ranks_N in measured:
            for key, rank in zip(keys, ranks_N, strict=True):
                for k in (1, 5):
                    hits[f"{direction}/r{k}"][key].append(float(rank <= k))
    return figures(ranks), {name: {key: float(np.mean(v)) for key, v in items.items()} for name, items in hits.items()}


def differences(ours: Hits, theirs: Hits) -> Hits:
    """Per direction and K, item -> (our share of hits) - (theirs); `both/rK` is the mean of the two directions."""
    result: Hits = {}
    for name, items in ours.items():
        assert items.keys() == theirs[name].keys(), f"{name}: the rows were measured on other items"
        result[name] = {key: value - theirs[name][key] for key, value in items.items()}
    for k in (1, 5):
        both = [result[f"{direction}/r{k}"] for direction in DIRECTIONS]
        result[f"both/r{k}"] = {key: (both[0][key] + both[1][key]) / 2 for key in both[0] if key in both[1]}
    return result


def main_score(metrics: Metrics) -> float:
    """Mean of R@1 and R@5 both ways: what the baselines' settings are chosen by (R@1 alone is too noisy here)."""
    return float(np.mean([metrics[direction][f"r{k}"] for direction in DIRECTIONS for k in (1, 5)]))
