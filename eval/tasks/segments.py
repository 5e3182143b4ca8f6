"""Search in time: is the right segment of the right video found? Made videos in one index, human captions as queries.

Shapes: Q queries, M segments of one index, T frames of a video, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.core.prepared import Captioned
from eval.core.result import Context, Result
from eval.core.statistics import Interval, interval
from eval.tasks.made.frames import encode_frames, held_out
from eval.tasks.made.methods import Watched
from eval.tasks.made.streams import FPS, build_stream
from eval.tasks.pools import by_chance
from vljepa.configs import SelectiveConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.segments import VideoSegment, cut_segments, segment_settings
from vljepa.metrics.retrieval import retrieval_ranks

DEPTHS, OVERLAPS = (1, 5), (0.5, 0.7)
MAIN = "segments"
Cuts = dict[int, list[list[VideoSegment]]]
"""By seed, the segments of each video."""


class Indexes(NamedTuple):
    """Photos, the videos of the index of each seed, embeddings [Q, D] of all captions, and each one's photo [Q]."""

    images: list[Captioned]
    videos: dict[int, list[Watched]]
    queries_QD: np.ndarray
    about_Q: np.ndarray


class Scores(NamedTuple):
    """How an arm did: by overlap, rank of the first right segment [Q], inf without one, and by depth, chance."""

    ranks: dict[float, np.ndarray]
    chance: dict[float, dict[int, float]]
    about: list[str]
    pool: int

    def figures(self) -> dict[str, Any]:
        """R@k by overlap."""
        return {"pool": self.pool} | self.minus(None)

    def minus(self, other: Scores | None) -> dict[str, dict[str, Interval]]:
        """Paired differences of R@k to another arm, over the same queries; R@k itself without one."""
        assert other is None or self.about == other.about

        def found(overlap: float, k: int) -> np.ndarray:
            hits: np.ndarray = (self.ranks[overlap] <= k).astype(float)
            return hits if other is None else hits - (other.ranks[overlap] <= k)

        return {f"iou {o}": {f"r{k}": interval(found(o, k), self.about) for k in DEPTHS} for o in OVERLAPS}


def measure(
    context: Context,
    *,
    videos: int,
    seconds: int,
    seeds: Sequence[int],
    thresholds: Sequence[float],
    split: str = "test",
) -> Result:
    """R@k of the segments, of windows of equal length and of the true shots, and by threshold."""
    embedder = Embedder.from_pretrained(context.model.name, device="cpu")
    streams: dict[str, Any] = {
        "videos": videos,
        "seconds": seconds,
        "seeds": seeds,
        "cache": context.cache / "segments",
    }
    indexes = build_indexes(context.found.folder, split, embedder, **streams)
    config = segment_settings(embedder.model)
    made = cut_all(indexes, ours, config)
    counts = {seed: iter(map(len, several)) for seed, several in made.items()}
    windows = {seed: [uniform(one, next(counts[seed])) for one in each] for seed, each in indexes.videos.items()}
    arms = {MAIN: made, "uniform": windows, "shots": cut_all(indexes, oracle)}
    scores = {name: score(indexes, cuts) for name, cuts in arms.items()}
    by_threshold = {}
    for threshold in sorted({*thresholds, config.offline_threshold}):
        cuts = cut_all(indexes, ours, segment_settings(embedder.model, threshold=threshold))
        by_threshold[f"{threshold:g}"] = score(indexes, cuts).figures()
    main = scores[MAIN]
    return Result(
        rows=len(main.about),
        pool=[{"segments": one.pool} for one in scores.values()],
        more={
            "threshold": config.offline_threshold,
            "photos": len(indexes.images),
            "indexes": len(seeds),
            "queries": len(main.about),
            "shots": sum(len(one.made.starts) for several in indexes.videos.values() for one in several),
            "arms": {name: one.figures() for name, one in scores.items()},
            "chance": {f"iou {overlap}": {f"r{k}": v for k, v in one.items()} for overlap, one in main.chance.items()},
            "segments minus uniform": main.minus(scores["uniform"]),
            "by_threshold": by_threshold,
        },
    )


def build_indexes(
    data: Path, split: str, embedder: Embedder, *, videos: int, seconds: int, seeds: Sequence[int], cache: Path
) -> Indexes:
    """Videos of a split's photos, encoded, and its captions."""
    images = held_out(data, "photos", split)
    streams = {
        seed: [build_stream(images=len(images), seconds=seconds, seed=seed, number=one) for one in range(videos)]
        for seed in seeds
    }
    every = [stream for several in streams.values() for stream in several]
    frames = encode_frames(every, images=images, embedder=embedder, cache=cache)
    return Indexes(
        images,
        {seed: list(map(frames.watched, several)) for seed, several in streams.items()},
        embedder.texts([text for one in images for text in one.texts]),
        np.array([number for number, one in enumerate(images) for _ in one.texts]),
    )


def ours(video: Watched, config: SelectiveConfig) -> list[VideoSegment]:
    """The segments of `vljepa index`."""
    return cut_segments(video.rows, np.arange(len(video.rows)) / FPS, config=config)


def uniform(video: Watched, count: int) -> list[VideoSegment]:
    """So many windows of equal length, to a frame."""
    total = len(video.rows)
    return _means(video, [number * total // count for number in range(count)])


def oracle(video: Watched) -> list[VideoSegment]:
    """The true shots."""
    return _means(video, video.made.starts)


def _means(video: Watched, starts: Sequence[int]) -> list[VideoSegment]:
    segments = []
    for start, end in pairwise([*starts, len(video.rows)]):
        mean = video.rows[start:end].mean(0)
        row = (mean / np.linalg.norm(mean)).astype(np.float32)
        segments.append(VideoSegment(start=start / FPS, end=end / FPS, time=(start + end) / 2 / FPS, row_D=row))
    return segments


def cut_all(indexes: Indexes, cut: Callable[..., list[VideoSegment]], *settings: Any) -> Cuts:
    """Every video of every index, cut."""
    return {seed: [cut(one, *settings) for one in videos] for seed, videos in indexes.videos.items()}


def score(indexes: Indexes, cuts: Cuts) -> Scores:
    """Rank of the first right segment for each query about a photo that is shown, index by index."""
    ranks: dict[float, list[np.ndarray]] = {overlap: [] for overlap in OVERLAPS}
    chances: dict[float, dict[int, list[float]]] = {overlap: {k: [] for k in DEPTHS} for overlap in OVERLAPS}
    about: list[str] = []
    pool = 0
    for seed, videos in indexes.videos.items():
        images = {image for one in videos for image in one.made.images}
        asked = [place for place, image in enumerate(indexes.about_Q) if image in images]
        about += [indexes.images[indexes.about_Q[place]].source_id for place in asked]
        items_MD = np.stack([one.row_D for several in cuts[seed] for one in several])
        pool += len(items_MD)
        for overlap in OVERLAPS:
            right = right_segments(videos, cuts[seed], overlap)
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


def right_segments(
    videos: Sequence[Watched], cuts: Sequence[Sequence[VideoSegment]], overlap: float
) -> dict[int, list[int]]:
    """Numbers of the right segments of each image; segments are numbered through all videos of an index."""
    right: dict[int, list[int]] = {}
    number = 0
    for video, segments in zip(videos, cuts, strict=True):
        shots = list(zip(oracle(video), video.made.images, strict=True))
        for segment in segments:
            for shot, image in shots:
                common = min(shot.end, segment.end) - max(shot.start, segment.start)
                if common > 0 and common / (max(shot.end, segment.end) - min(shot.start, segment.start)) >= overlap:
                    right.setdefault(image, []).append(number)
            number += 1
    return right


def _ranks(queries_QD: np.ndarray, items_MD: np.ndarray, positives: Sequence[Sequence[int]]) -> np.ndarray:
    """Rank of the first right segment for each query; inf where there is none."""
    ranks = np.full(len(queries_QD), np.inf)
    found = [place for place, right in enumerate(positives) if right]
    ranks[found] = retrieval_ranks(queries_QD[found], items_MD, positives=[positives[place] for place in found])
    return ranks
