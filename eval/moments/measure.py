"""Runs the measurement: made videos in one index, human captions as queries.

Shapes: Q queries, M moments of one index, D width of the shared space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.mini import provenance
from eval.mini.bootstrap import Interval, interval
from eval.mini.data import Captioned, read_captions
from eval.moments.arms import Video, oracle, ours, uniform
from eval.selective.frames import encode_frames
from eval.selective.streams import build_stream
from vljepa.inference.embed import Embedder
from vljepa.inference.moments import Moment, moment_settings
from vljepa.metrics.retrieval import retrieval_ranks

DEPTHS = (1, 5)
OVERLAPS = (0.5, 0.7)
MAIN = "moments"
PROTOCOL = {
    "videos": "shots of held-out photos as in eval/selective/streams.py: log-normal durations of 4 s on average, 4 "
    "frames per second, camera motion, half of the transitions are cross-fades of 1 s; every different frame is "
    "rendered and encoded, none is compressed as video; one index per seed",
    "queries": "every human caption of every photo that is shown in the index; a photo may be shown several times",
    "right": "a moment whose temporal intersection over union with a shot of the query's photo reaches the overlap; "
    "ties count against the model; a query without any right moment is missed",
    "arms": "moments: what `vljepa index` makes; uniform: windows of equal length, as many per video as there are "
    "moments; shots: the true shots; all with the mean of their frames; chance: the moments in random order",
    "intervals": "95% bootstrap over photos",
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class World:
    """Photos, videos and queries.

    Args:
        pictures: The photos of the split.
        videos: Of the index of each seed.
        queries_QD: Embeddings of all their captions.
        about_Q: Number of each caption's photo.
    """

    pictures: list[Captioned]
    videos: dict[int, list[Video]]
    queries_QD: np.ndarray
    about_Q: np.ndarray


@dataclass(frozen=True)
class Scores:
    """How an arm did, over the queries of all indexes.

    Args:
        ranks: By overlap, of the first right moment for each query; inf where there is none, [Q].
        chance: By overlap and depth, the share of queries that a random order would answer.
        about: Photo of each query.
        pool: Moments in all indexes.
    """

    ranks: dict[float, np.ndarray]
    chance: dict[float, dict[int, float]]
    about: list[str]
    pool: int


def measure(
    *,
    data: Path,
    model: str,
    split: str,
    cache: Path,
    videos: int,
    seconds: int,
    seeds: Sequence[int],
    thresholds: Sequence[float],
    say: Say,
) -> dict[str, Any]:
    """The whole result on one split."""
    embedder = Embedder.from_pretrained(model, device="cpu")
    world = build_world(data, split, embedder, videos=videos, seconds=seconds, seeds=seeds, cache=cache, say=say)
    config = moment_settings(embedder.model)
    chosen = config.offline_threshold
    arms = {MAIN: cut_all(world, lambda one: ours(one, config))}
    arms["uniform"] = {
        seed: [uniform(one, len(mine)) for one, mine in zip(world.videos[seed], made, strict=True)]
        for seed, made in arms[MAIN].items()
    }
    arms["shots"] = cut_all(world, oracle)
    scores = {name: score(world, made) for name, made in arms.items()}
    by_threshold = {}
    for threshold in sorted({*thresholds, chosen}):
        settings = moment_settings(embedder.model, threshold=threshold)
        some = score(world, cut_all(world, lambda one, settings=settings: ours(one, settings)))
        by_threshold[f"{threshold:g}"] = {"pool": some.pool, **figures(some)}
        say(f"threshold {threshold:g}: {some.pool} moments")
    return {
        "task": "search in time: is the right moment found by a caption?",
        "split": split,
        **provenance.origin("eval.moments"),
        "data": provenance.data_of(data),
        "packages": provenance.packages(),
        "model": provenance.model_of(model),
        "suite": {"videos": videos, "seconds": seconds, "seeds": list(seeds), "thresholds": list(thresholds)},
        "protocol": PROTOCOL,
        "threshold": chosen,
        "photos": len(world.pictures),
        "indexes": len(seeds),
        "queries": len(scores[MAIN].about),
        "shots": sum(len(one.stream.starts) for some in world.videos.values() for one in some),
        "arms": {name: {"pool": one.pool, **figures(one)} for name, one in scores.items()},
        "chance": {
            f"iou {overlap}": {f"r{k}": v for k, v in scores[MAIN].chance[overlap].items()} for overlap in OVERLAPS
        },
        "moments minus uniform": difference(scores[MAIN], scores["uniform"]),
        "by_threshold": by_threshold,
    }


def build_world(
    data: Path,
    split: str,
    embedder: Embedder,
    *,
    videos: int,
    seconds: int,
    seeds: Sequence[int],
    cache: Path,
    say: Say,
) -> World:
    """Videos of a split's photos, encoded, and its captions."""
    pictures = read_captions(data, "photos", split)
    known = {one.source_id for one in read_captions(data, "photos", "train")}
    assert not known & {one.source_id for one in pictures}, "videos show held-out photos only"
    streams = {
        seed: [build_stream(pictures=len(pictures), seconds=seconds, seed=seed, number=one) for one in range(videos)]
        for seed in seeds
    }
    frames = encode_frames(
        (frame for some in streams.values() for stream in some for frame in stream.frames),
        pictures=[one.path for one in pictures],
        embedder=embedder,
        model_digest=embedder.model.fingerprint(),
        cache=cache,
        say=say,
    )
    about_Q = np.array([number for number, one in enumerate(pictures) for _ in one.texts])
    return World(
        pictures,
        {
            seed: [Video(stream, frames.rows[frames.numbers(stream.frames)]) for stream in some]
            for seed, some in streams.items()
        },
        embedder.texts([text for one in pictures for text in one.texts]),
        about_Q,
    )


def cut_all(world: World, cut: Callable[[Video], list[Moment]]) -> dict[int, list[list[Moment]]]:
    """Every video of every index, cut."""
    return {seed: [cut(one) for one in videos] for seed, videos in world.videos.items()}


def score(world: World, cuts: dict[int, list[list[Moment]]]) -> Scores:
    """Rank of the first right moment for each query about a photo that is shown, index by index."""
    ranks: dict[float, list[np.ndarray]] = {overlap: [] for overlap in OVERLAPS}
    chances: dict[float, dict[int, list[float]]] = {overlap: {k: [] for k in DEPTHS} for overlap in OVERLAPS}
    about: list[str] = []
    pool = 0
    for seed, videos in world.videos.items():
        shown = {picture for one in videos for picture in one.stream.pictures}
        asked = [place for place, picture in enumerate(world.about_Q) if picture in shown]
        about += [world.pictures[world.about_Q[place]].source_id for place in asked]
        items_MD = np.stack([one.row_D for some in cuts[seed] for one in some])
        pool += len(items_MD)
        for overlap in OVERLAPS:
            right = right_moments(videos, cuts[seed], overlap)
            positives = [right.get(int(world.about_Q[place]), []) for place in asked]
            ranks[overlap].append(_ranks(world.queries_QD[asked], items_MD, positives))
            for k in DEPTHS:
                chances[overlap][k] += [by_chance(len(one), len(items_MD), k) for one in positives]
    return Scores(
        {overlap: np.concatenate(some) for overlap, some in ranks.items()},
        {overlap: {k: float(np.mean(values)) for k, values in some.items()} for overlap, some in chances.items()},
        about,
        pool,
    )


def right_moments(videos: Sequence[Video], cuts: Sequence[Sequence[Moment]], overlap: float) -> dict[int, list[int]]:
    """Numbers of the right moments of each picture; moments are numbered through all videos of an index."""
    right: dict[int, list[int]] = {}
    number = 0
    for video, moments in zip(videos, cuts, strict=True):
        shots = video.shots()
        for moment in moments:
            for start, end, picture in shots:
                common = min(end, moment.end) - max(start, moment.start)
                if common > 0 and common / (max(end, moment.end) - min(start, moment.start)) >= overlap:
                    right.setdefault(picture, []).append(number)
            number += 1
    return right


def _ranks(queries_QD: np.ndarray, items_MD: np.ndarray, positives: Sequence[Sequence[int]]) -> np.ndarray:
    ranks = np.full(len(queries_QD), np.inf)
    some = [place for place, right in enumerate(positives) if right]
    ranks[some] = retrieval_ranks(queries_QD[some], items_MD, positives=[positives[place] for place in some])
    return ranks


def by_chance(right: int, pool: int, depth: int) -> float:
    """Probability that a random order has one of the right ones among its first."""
    depth = min(depth, pool)
    return 1 - math.comb(pool - right, depth) / math.comb(pool, depth)


def figures(scores: Scores) -> dict[str, dict[str, Interval]]:
    """R@k by overlap."""
    return {
        f"iou {overlap}": {f"r{k}": interval(ranks <= k, scores.about) for k in DEPTHS}
        for overlap, ranks in scores.ranks.items()
    }


def difference(one: Scores, other: Scores) -> dict[str, dict[str, Interval]]:
    """Paired differences of R@k, over the same queries."""
    assert one.about == other.about
    return {
        f"iou {overlap}": {
            f"r{k}": interval(
                (one.ranks[overlap] <= k).astype(float) - (other.ranks[overlap] <= k).astype(float), one.about
            )
            for k in DEPTHS
        }
        for overlap in OVERLAPS
    }
