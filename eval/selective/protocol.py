"""Quality against decodes: each annotation is matched to the decode nearest in time, CIDEr-D over the pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.selective.methods import Decodes
from eval.selective.streams import Stream
from vljepa.metrics.captions import CiderD

REFERENCE_RATE = 1.0
RESAMPLES = 2000


class Scorer:
    """Scores the decodes of a stream; every different row is decoded once.

    Args:
        references: Captions of each picture; the weights of CIDEr-D come from them, once for all streams.
        decode: From rows [N, D] to texts.
    """

    def __init__(self, references: Sequence[Sequence[str]], *, decode: Callable[[np.ndarray], list[str]]) -> None:
        self._cider = CiderD(references)
        self._decode = decode
        self._texts: dict[bytes, str] = {}
        self._scores: dict[tuple[int, str], float] = {}

    def prepare(self, decodes: Sequence[Decodes]) -> None:
        """Decode what some streams will need, in large batches."""
        new = {row.tobytes(): row for one in decodes for row in one.rows if row.tobytes() not in self._texts}
        if new:
            self._texts |= dict(zip(new, self._decode(np.stack(list(new.values()))), strict=True))

    def score(self, stream: Stream, decodes: Decodes) -> float:
        """Mean CIDEr-D over the stream's annotations."""
        total = 0.0
        annotations = stream.annotations()
        for time, picture in annotations:
            row = decodes.rows[nearest(decodes.times, time)]
            total += self._score(picture, self._texts[row.tobytes()])
        return total / len(annotations)

    def _score(self, picture: int, text: str) -> float:
        key = (picture, text)
        if key not in self._scores:
            self._scores[key] = self._cider.score(picture, text)
        return self._scores[key]


def nearest(times: np.ndarray, time: float) -> int:
    """Number of the decode nearest in time; of two equally near the earlier."""
    return int(np.abs(times - time).argmin())


@dataclass(frozen=True)
class Curve:
    """One method over its operating points P on S streams, points by ascending rate.

    Args:
        rates: Decodes per second, [P, S].
        cider: CIDEr-D, [P, S].
    """

    rates: np.ndarray
    cider: np.ndarray

    def rate_at(self, cider: float, streams: np.ndarray | slice = slice(None)) -> float:
        """Smallest mean rate at which the mean quality reaches `cider`, between points by log-rate; inf if never."""
        rates, quality = self.rates[:, streams].mean(1), self.cider[:, streams].mean(1)
        reached = np.flatnonzero(quality >= cider)
        if len(reached) == 0:
            return float("inf")
        first = int(reached[0])
        if first == 0:
            return float(rates[0])
        low, high = first - 1, first
        share = (cider - quality[low]) / (quality[high] - quality[low])
        return float(np.exp(np.log(rates[low]) + share * (np.log(rates[high]) - np.log(rates[low]))))


def cider_at(curve: Curve, rate: float, streams: np.ndarray | slice = slice(None)) -> float:
    """Mean quality at a mean rate, between points by log-rate."""
    return float(np.interp(np.log(rate), np.log(curve.rates[:, streams].mean(1)), curve.cider[:, streams].mean(1)))


def saving(curve: Curve, *, uniform: Curve) -> dict[str, float]:
    """How many times fewer decodes give the quality of uniform decoding at 1 Hz, with a bootstrap over streams."""

    def of(streams: np.ndarray | slice) -> float:
        return REFERENCE_RATE / curve.rate_at(cider_at(uniform, REFERENCE_RATE, streams), streams)

    random, count = np.random.default_rng(0), curve.rates.shape[1]
    drawn = np.array([of(random.integers(count, size=count)) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"times_fewer": of(slice(None)), "low": float(low), "high": float(high)}
