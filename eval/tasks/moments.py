"""Search in time: is the right moment of the right video found? Made videos in one index, human captions as queries.

Shapes: Q queries, M moments of one index, T frames of a video, D width of the shared space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from eval.core import provenance
from eval.core.prepared import Captioned, read_captions
from eval.core.result import Context, Result
from eval.core.statistics import Interval, interval
from eval.tasks.made.frames import encode_frames
from eval.tasks.made.streams import FPS, Stream, build_stream
from vljepa.configs import SelectiveConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.moments import Moment, cut_moments, moment_settings
from vljepa.metrics.retrieval import retrieval_ranks

DEPTHS = (1, 5)
OVERLAPS = (0.5, 0.7)
MAIN = "moments"
PROTOCOL = {
    "videos": "shots of held-out photos as in eval/tasks/made/streams.py: log-normal durations of 4 s on average, 4 "
    "frames per second, camera motion, half of the transitions are cross-fades of 1 s; every different frame is "
    "rendered and encoded, none is compressed as video; one index per seed",
    "queries": "every human caption of every photo that is shown in the index; a photo may be shown several times",
    "right": "a moment whose temporal intersection over union with a shot of the query's photo reaches the overlap; "
    "ties count against the model; a query without any right moment is missed",
    "arms": "moments: what `vljepa index` makes; uniform: windows of equal length, as many per video as there are "
    "moments; shots: the true shots; all with the mean of their frames; chance: the moments in random order",
    "intervals": "95% bootstrap over photos",
}
Cuts = dict[int, list[list[Moment]]]


@dataclass(frozen=True)
class Video:
    """A made video.

    Args:
        stream: Its frames and shots; of the arms only the oracle looks at the shots.
        rows_TD: Embedding of each frame.
    """

    stream: Stream
    rows_TD: np.ndarray

    def shots(self) -> list[tuple[float, float, int]]:
        """Start and end of each shot in seconds, and its picture."""
        starts = [*self.stream.starts, len(self.stream.frames)]
        return [
            (start / FPS, end / FPS, picture)
            for (start, end), picture in zip(pairwise(starts), self.stream.pictures, strict=True)
        ]


@dataclass(frozen=True)
class Indexes:
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

    def figures(self) -> dict[str, Any]:
        """R@k by overlap."""
        return {"pool": self.pool} | {
            f"iou {overlap}": {f"r{k}": interval(ranks <= k, self.about) for k in DEPTHS}
            for overlap, ranks in self.ranks.items()
        }


def measure(
    context: Context,
    *,
    videos: int,
    seconds: int,
    seeds: Sequence[int],
    thresholds: Sequence[float],
    split: str = "test",
) -> Result:
    """R@k of the moments, of windows of equal length and of the true shots, and by threshold."""
    embedder = Embedder.from_pretrained(context.model.name, device="cpu")
    data, cache = context.found.folder, context.cache / "moments"
    indexes = build_indexes(data, split, embedder, videos=videos, seconds=seconds, seeds=seeds, cache=cache)
    config = moment_settings(embedder.model)
    arms = {MAIN: cut_all(indexes, lambda one: ours(one, config))}
    arms["uniform"] = {
        seed: [uniform(one, len(mine)) for one, mine in zip(indexes.videos[seed], made, strict=True)]
        for seed, made in arms[MAIN].items()
    }
    arms["shots"] = cut_all(indexes, oracle)
    scores = {name: score(indexes, made) for name, made in arms.items()}
    by_threshold = {}
    for threshold in sorted({*thresholds, config.offline_threshold}):
        settings = moment_settings(embedder.model, threshold=threshold)
        cuts = cut_all(indexes, lambda one, settings=settings: ours(one, settings))  # type: ignore[misc]
        by_threshold[f"{threshold:g}"] = score(indexes, cuts).figures()
    main = scores[MAIN]
    return Result(
        rows=len(main.about),
        pool=[{"moments": one.pool} for one in scores.values()],
        prompt=embedder.model.config.prompts.caption,
        more={
            "data": provenance.data_of(data),
            "packages": provenance.packages(),
            "protocol": PROTOCOL,
            "threshold": config.offline_threshold,
            "photos": len(indexes.pictures),
            "indexes": len(seeds),
            "queries": len(main.about),
            "shots": sum(len(one.stream.starts) for several in indexes.videos.values() for one in several),
            "arms": {name: one.figures() for name, one in scores.items()},
            "chance": {f"iou {overlap}": {f"r{k}": v for k, v in main.chance[overlap].items()} for overlap in OVERLAPS},
            "moments minus uniform": difference(main, scores["uniform"]),
            "by_threshold": by_threshold,
        },
    )


def build_indexes(
    data: Path, split: str, embedder: Embedder, *, videos: int, seconds: int, seeds: Sequence[int], cache: Path
) -> Indexes:
    """Videos of a split's photos, encoded, and its captions."""
    pictures = read_captions(data, "photos", split)
    known = {one.source_id for one in read_captions(data, "photos", "train")}
    assert not known & {one.source_id for one in pictures}, "videos show held-out photos only"
    streams = {
        seed: [build_stream(pictures=len(pictures), seconds=seconds, seed=seed, number=one) for one in range(videos)]
        for seed in seeds
    }
    frames = encode_frames(
        (frame for several in streams.values() for stream in several for frame in stream.frames),
        pictures=[one.path for one in pictures],
        embedder=embedder,
        cache=cache,
    )
    return Indexes(
        pictures,
        {
            seed: [Video(stream, frames.rows[frames.numbers(stream.frames)]) for stream in several]
            for seed, several in streams.items()
        },
        embedder.texts([text for one in pictures for text in one.texts]),
        np.array([number for number, one in enumerate(pictures) for _ in one.texts]),
    )


def ours(video: Video, config: SelectiveConfig) -> list[Moment]:
    """The moments of `vljepa index`."""
    return cut_moments(video.rows_TD, np.arange(len(video.rows_TD)) / FPS, config=config)


def uniform(video: Video, count: int) -> list[Moment]:
    """So many windows of equal length, to a frame."""
    total = len(video.rows_TD)
    return _means(video, [number * total // count for number in range(count)])


def oracle(video: Video) -> list[Moment]:
    """The true shots."""
    return _means(video, video.stream.starts)


def _means(video: Video, starts: Sequence[int]) -> list[Moment]:
    moments = []
    for start, end in pairwise([*starts, len(video.rows_TD)]):
        mean = video.rows_TD[start:end].mean(0)
        row = (mean / np.linalg.norm(mean)).astype(np.float32)
        moments.append(Moment(start=start / FPS, end=end / FPS, time=(start + end) / 2 / FPS, row_D=row))
    return moments


def cut_all(indexes: Indexes, cut: Callable[[Video], list[Moment]]) -> Cuts:
    """Every video of every index, cut."""
    return {seed: [cut(one) for one in videos] for seed, videos in indexes.videos.items()}


def score(indexes: Indexes, cuts: Cuts) -> Scores:
    """Rank of the first right moment for each query about a photo that is shown, index by index."""
    ranks: dict[float, list[np.ndarray]] = {overlap: [] for overlap in OVERLAPS}
    chances: dict[float, dict[int, list[float]]] = {overlap: {k: [] for k in DEPTHS} for overlap in OVERLAPS}
    about: list[str] = []
    pool = 0
    for seed, videos in indexes.videos.items():
        shown = {picture for one in videos for picture in one.stream.pictures}
        asked = [place for place, picture in enumerate(indexes.about_Q) if picture in shown]
        about += [indexes.pictures[indexes.about_Q[place]].source_id for place in asked]
        items_MD = np.stack([one.row_D for several in cuts[seed] for one in several])
        pool += len(items_MD)
        for overlap in OVERLAPS:
            right = right_moments(videos, cuts[seed], overlap)
            positives = [right.get(int(indexes.about_Q[place]), []) for place in asked]
            ranks[overlap].append(_ranks(indexes.queries_QD[asked], items_MD, positives))
            for k in DEPTHS:
                chances[overlap][k] += [by_chance(len(one), len(items_MD), k) for one in positives]
    return Scores(
        {overlap: np.concatenate(several) for overlap, several in ranks.items()},
        {overlap: {k: float(np.mean(values)) for k, values in one.items()} for overlap, one in chances.items()},
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
    found = [place for place, right in enumerate(positives) if right]
    ranks[found] = retrieval_ranks(queries_QD[found], items_MD, positives=[positives[place] for place in found])
    return ranks


def by_chance(right: int, pool: int, depth: int) -> float:
    """Probability that a random order has one of the right ones among its first."""
    depth = min(depth, pool)
    return 1 - math.comb(pool - right, depth) / math.comb(pool, depth)


def difference(one: Scores, other: Scores) -> dict[str, dict[str, Interval]]:
    """Paired differences of R@k, over the same queries."""
    assert one.about == other.about

    def hits(scores: Scores, overlap: float, k: int) -> np.ndarray:
        return (scores.ranks[overlap] <= k).astype(float)

    return {
        f"iou {overlap}": {
            f"r{k}": interval(hits(one, overlap, k) - hits(other, overlap, k), one.about) for k in DEPTHS
        }
        for overlap in OVERLAPS
    }
