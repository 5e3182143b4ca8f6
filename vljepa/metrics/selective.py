"""Selective decoding: which decode an annotation is matched to, and quality against decodes per second.

Shapes: P operating points of one method by ascending rate, S streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REFERENCE_RATE = 1.0
"""Decodes per second of the uniform decoding that others are measured against."""
RESAMPLES = 2000


def nearest(times: np.ndarray, time: float) -> int:
    """Number of the decode nearest in time; of two equally near the earlier."""
    return int(np.abs(times - time).argmin())


def covering(starts: np.ndarray, time: float) -> int:
    """Number of the decode whose segment a time falls into."""
    return max(0, int(np.searchsorted(starts, time, side="right")) - 1)


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
    """How many times fewer decodes give the quality that uniform decoding has at 1 Hz, with a bootstrap over streams.

    Both rates are first crossings: that quality is compared with the rate at which uniform decoding itself first has
    it, which may be below 1 Hz, so that uniform decoding never saves anything against itself.

    Args:
        curve: The method.
        uniform: Uniform decoding; of the same readout for a comparison like for like.
    """

    def of(streams: np.ndarray | slice) -> float:
        wanted = cider_at(uniform, REFERENCE_RATE, streams)
        return min(REFERENCE_RATE, uniform.rate_at(wanted, streams)) / curve.rate_at(wanted, streams)

    random, count = np.random.default_rng(0), curve.rates.shape[1]
    drawn = np.array([of(np.asarray(random.integers(count, size=count))) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"times_fewer": of(slice(None)), "low": float(low), "high": float(high)}
