"""Streams for the measurement: shots of held-out pictures with camera motion, cuts and cross-fades, from a seed.

What a stream is: a row of shots, each of one held-out picture. Durations are log-normal (mean 4 s, sigma 0.8: half of
the shots are shorter than 2.9 s, one in fifty longer than 15 s). Within a shot the camera moves in along the
picture's own seeded path, holds, and comes back, a new view every half second. From shot to shot there is a cut, or
half of the time a cross-fade of one second to one of the picture's three seeded successors. Every frame's pixels are
really made and encoded; since pictures, paths and successors are few, each different frame only once.

This is not film: nothing in a shot moves but the camera, and a picture may come back later in a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FPS = 4
VIEWS = 8
FRAMES_PER_VIEW = 2
FADE = (0.2, 0.4, 0.6, 0.8)
SUCCESSORS = 3
MEAN_SECONDS, SIGMA = 4.0, 0.8
SHORTEST_FRAMES = 2


class Frame(NamedTuple):
    """One different frame: a view of a picture, or while fading the first views of two, the second by `alpha`."""

    picture: int
    view: int
    other: int = -1
    alpha: float = 0.0


@dataclass(frozen=True)
class Stream:
    """Frames at `FPS`, where each shot starts, its picture, and where in it, 0 to 1, a random annotation is.

    A cross-fade belongs half to either shot.
    """

    frames: tuple[Frame, ...]
    starts: tuple[int, ...]
    pictures: tuple[int, ...]
    shares: tuple[float, ...]

    def annotations(self, placed: str = "middle") -> list[tuple[float, int]]:
        """Time of each shot's annotation in seconds, in its `middle` or at `random`, and its picture."""
        ends = [*self.starts[1:], len(self.frames)]
        shares = self.shares if placed == "random" else [0.5] * len(ends)
        spans = zip(self.starts, ends, shares, strict=True)
        times = [(start + share * (end - start)) / FPS for start, end, share in spans]
        return list(zip(times, self.pictures, strict=True))


def successors(pictures: int, *, seed: int) -> np.ndarray:
    """Pictures that each picture may fade into, [pictures, SUCCESSORS]; never itself."""
    random = np.random.default_rng([seed, 1])
    steps = np.stack([random.permutation(np.arange(1, pictures))[:SUCCESSORS] for _ in range(pictures)])
    return np.asarray((np.arange(pictures)[:, None] + steps) % pictures)


def build_stream(*, pictures: int, seconds: int, seed: int, number: int, fades: float = 0.5) -> Stream:
    """Stream number `number` of a seed, each with its own random numbers; `fades` is the share of cross-fades."""
    random = np.random.default_rng([seed, 2, number])
    following = successors(pictures, seed=0)  # one set of cross-fades for all seeds: each is encoded once
    frames: list[Frame] = []
    starts: list[int] = []
    shown: list[int] = []
    picture = int(random.integers(pictures))
    while len(frames) < seconds * FPS:
        starts.append(max(0, len(frames) - (len(FADE) // 2 if frames and frames[-1].other >= 0 else 0)))
        shown.append(picture)
        drawn = random.lognormal(np.log(MEAN_SECONDS) - SIGMA**2 / 2, SIGMA)
        length = max(SHORTEST_FRAMES, round(drawn * FPS))
        frames += [Frame(picture, view_at(place, length)) for place in range(length)]
        if random.random() < fades:
            after = int(random.choice(following[picture]))
            frames += [Frame(picture, 0, after, alpha) for alpha in FADE]
        else:
            after = int((picture + random.integers(1, pictures)) % pictures)
        picture = after
    frames = frames[: seconds * FPS]
    kept = [place for place, start in enumerate(starts) if start < len(frames)]
    shares = np.random.default_rng([seed, 4, number]).random(len(kept))
    return Stream(
        tuple(frames),
        tuple(starts[place] for place in kept),
        tuple(shown[place] for place in kept),
        tuple(shares.tolist()),
    )


def view_at(place: int, length: int) -> int:
    """View of frame `place` of a shot: in along the path, hold, and back to where it began."""
    return min(VIEWS - 1, min(place, length - 1 - place) // FRAMES_PER_VIEW)
