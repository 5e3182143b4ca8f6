"""Ways to cut a video into stretches with one embedding each.

Shapes: T frames of a video, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eval.selective.streams import FPS, Stream
from vljepa.configs import SelectiveConfig
from vljepa.inference.moments import Moment, cut_moments


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
