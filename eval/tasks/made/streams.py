"""Streams for the measurement: shots of held-out images with camera motion, cuts and cross-fades, from a seed.

What a stream is: a row of shots, each of one held-out image. Durations are log-normal (mean 4 s, sigma 0.8: half of
the shots are shorter than 2.9 s, one in fifty longer than 15 s). Within a shot the camera moves in along the
image's own seeded path, holds, and comes back, a new view every half second. From shot to shot there is a cut, or
half of the time a cross-fade of one second to one of the image's three seeded successors. Every frame's pixels are
really made and encoded; since images, paths and successors are few, each different frame only once.

This is not film: nothing in a shot moves but the camera, and an image may come back later in a stream.
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
    """One different frame: a view of an image, or while fading the first views of two, the second by `alpha`."""

    image: int
    view: int
    other: int = -1
    alpha: float = 0.0


@dataclass(frozen=True)
class Stream:
    """Frames at `FPS`, where each shot starts, its image, and where in it, 0 to 1, a random annotation is.

    A cross-fade belongs half to either shot.
    """

    frames: tuple[Frame, ...]
    starts: tuple[int, ...]
    images: tuple[int, ...]
    shares: tuple[float, ...]

    def annotations(self, placed: str = "middle") -> list[tuple[float, int]]:
        """Time of each shot's annotation in seconds, in its `middle` or at `random`, and its image."""
        ends = [*self.starts[1:], len(self.frames)]
        shares = self.shares if placed == "random" else [0.5] * len(ends)
        spans = zip(self.starts, ends, shares, strict=True)
        times = [(start + share * (end - start)) / FPS for start, end, share in spans]
        return list(zip(times, self.images, strict=True))


def successors(images: int, *, seed: int) -> np.ndarray:
    """Images that each image may fade into, [images, SUCCESSORS]; never itself."""
    random = np.random.default_rng([seed, 1])
    steps = np.stack([random.permutation(np.arange(1, images))[:SUCCESSORS] for _ in range(images)])
    return np.asarray((np.arange(images)[:, None] + steps) % images)


def build_stream(*, images: int, seconds: int, seed: int, number: int, fades: float = 0.5) -> Stream:
    """Stream number `number` of a seed, each with its own random numbers; `fades` is the share of cross-fades."""
    random = np.random.default_rng([seed, 2, number])
    following = successors(images, seed=0)  # one set of cross-fades for all seeds: each is encoded once
    frames: list[Frame] = []
    starts: list[int] = []
    shown: list[int] = []
    image = int(random.integers(images))
    while len(frames) < seconds * FPS:
        starts.append(max(0, len(frames) - (len(FADE) // 2 if frames and frames[-1].other >= 0 else 0)))
        shown.append(image)
        drawn = random.lognormal(np.log(MEAN_SECONDS) - SIGMA**2 / 2, SIGMA)
        length = max(SHORTEST_FRAMES, round(drawn * FPS))
        frames += [Frame(image, view_at(place, length)) for place in range(length)]
        if random.random() < fades:
            after = int(random.choice(following[image]))
            frames += [Frame(image, 0, after, alpha) for alpha in FADE]
        else:
            after = int((image + random.integers(1, images)) % images)
        image = after
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
