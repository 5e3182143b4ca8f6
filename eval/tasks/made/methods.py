"""Ways to choose what is decoded in a stream: uniform, random, by pixels, by meaning offline and online, by an oracle.

Every way gives decodes: a time and a row to read, which is one of the stream's frames or the mean of some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from eval.tasks.made.streams import FPS, Stream
from vljepa.configs import SelectiveConfig
from vljepa.inference.segmentation import Dendrogram, ward_chain
from vljepa.inference.selective import SelectiveDecoder


class Decodes(NamedTuple):
    """What is decoded in one stream: N seconds, ascending; unit-norm rows [N, D]; and from when on each is said."""

    times: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class Watched:
    """A stream, or a video's annotations, as the methods see it: rows [T, D] and grey levels [T, h, w] of frames."""

    stream: Stream | Sequence[tuple[float, int]]
    rows: np.ndarray
    grey: np.ndarray

    @cached_property
    def changes(self) -> np.ndarray:
        """Mean absolute change of grey levels from the frame before, [T - 1]."""
        changes: np.ndarray = np.abs(np.diff(self.grey, axis=0)).mean((1, 2))
        return changes

    @cached_property
    def tree(self) -> Dendrogram:
        """Ward dendrogram of the rows."""
        return ward_chain(self.rows)

    @property
    def made(self) -> Stream:
        """Its frames and shots, where it was made here."""
        assert isinstance(self.stream, Stream)
        return self.stream


def uniform(watched: Watched, *, rate: float, readout: str) -> Decodes:
    """Segments of equal length."""
    total = len(watched.rows)
    count = _count(watched, rate)
    starts = np.unique(np.floor(np.arange(count) * total / count).astype(int))
    return _read(watched, starts, readout)


def random_times(watched: Watched, *, rate: float) -> Decodes:
    """Frames drawn at random, other ones in each stream."""
    seed = [3, *watched.made.starts[:8]]
    places = np.sort(np.random.default_rng(seed).choice(len(watched.rows), _count(watched, rate), replace=False))
    times = places / FPS
    return Decodes(times, watched.rows[places], np.append(times[:1], (times[1:] + times[:-1]) / 2))


def pixel_difference(watched: Watched, *, rate: float, readout: str) -> Decodes:
    """Segments cut where the grey levels change most, no two cuts within a second while there are other places.

    Without that rule one cross-fade, which changes pixels for a second, would take several cuts.
    """
    wanted = _count(watched, rate) - 1
    strongest = (np.argsort(-watched.changes, kind="stable") + 1).tolist()
    free = np.ones(len(watched.rows) + 1, dtype=bool)
    apart: list[int] = []
    for place in strongest:
        if free[place]:
            apart.append(place)
            free[max(0, place - FPS + 1) : place + FPS] = False
    chosen = set(apart)
    cuts = [*apart, *(place for place in strongest if place not in chosen)][:wanted]
    return _read(watched, np.array([0, *sorted(cuts)]), readout)


def adaptive(watched: Watched, *, rate: float, readout: str) -> Decodes:
    """Segments of Ward clustering in time: offline selective decoding."""
    return _read(watched, watched.tree.boundaries(_count(watched, rate)), readout)


def oracle(watched: Watched, *, rate: float, readout: str) -> Decodes:
    """The true shots, the longest first where there is not a decode for each."""
    starts = np.array(watched.made.starts)
    ends = np.append(starts[1:], len(watched.rows))
    longest = np.sort(np.argsort(starts - ends, kind="stable")[: _count(watched, rate)])
    return _spans(watched, starts[longest], ends[longest], readout)


def online(watched: Watched, *, config: SelectiveConfig) -> Decodes:
    """Segments of the online decoder, as its user gets them."""
    decoder = SelectiveDecoder(config=config)
    segments = [one for place, row in enumerate(watched.rows) for one in decoder.push(row, place / FPS)]
    segments += decoder.close()
    return Decodes(
        np.array([one.time for one in segments]),
        np.stack([one.embedding for one in segments]),
        np.array([one.start for one in segments]),
    )


def _count(watched: Watched, rate: float) -> int:
    return min(len(watched.rows), max(1, round(rate * len(watched.rows) / FPS)))


def _read(watched: Watched, starts: np.ndarray, readout: str) -> Decodes:
    return _spans(watched, starts, np.append(starts[1:], len(watched.rows)), readout)


def _spans(watched: Watched, starts: np.ndarray, ends: np.ndarray, readout: str) -> Decodes:
    middles = (starts + ends - 1) // 2
    if readout == "exact":
        return Decodes(middles / FPS, watched.rows[middles], starts / FPS)
    means = np.stack([watched.rows[start:end].mean(0) for start, end in zip(starts, ends, strict=True)])
    read = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return Decodes((starts + ends) / 2 / FPS, read, starts / FPS)
