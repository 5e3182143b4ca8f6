"""Quality against decodes: each annotation is matched to a decode, CIDEr-D over the pairs.

The paper matches the decode nearest in time. Where in a shot its annotation lies then matters: decodes at the middle
of a segment are near an annotation at the middle of the shot, and may be farther than a neighbour's from one at its
edge. So there are three protocols, of which the first is the paper's on our streams.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from eval.selective.methods import Decodes
from eval.selective.streams import Placement, Stream
from vljepa.metrics.captions import CiderD

Match = Literal["nearest", "covering"]
PROTOCOLS: dict[str, tuple[Placement, Match]] = {
    "middle, nearest": ("middle", "nearest"),
    "random, nearest": ("random", "nearest"),
    "random, covering": ("random", "covering"),
}
"""Where a shot's annotation is, and the decode that it is matched to: the nearest, or that of the segment around it."""
MAIN = "middle, nearest"
REFERENCE_RATE = 1.0
RESAMPLES = 2000
BLOCK = 2048


class Scorer:
    """Scores the decodes of a stream; every different row is decoded once.

    Args:
        references: Captions of each picture; the weights of CIDEr-D come from them, once for all streams.
        decode: From rows [N, D] to texts.
        kept: File for the texts, one JSON line each, so that another run of the same decoder goes on from there.
    """

    def __init__(
        self,
        references: Sequence[Sequence[str]],
        *,
        decode: Callable[[np.ndarray], list[str]],
        kept: Path | None = None,
    ) -> None:
        self._cider = CiderD(references)
        self._decode = decode
        self._kept = kept
        self._texts = {} if kept is None else _read_texts(kept)
        self._scores: dict[tuple[int, str], float] = {}

    def prepare(self, decodes: Sequence[Decodes]) -> None:
        """Decode what some streams will need, in large batches."""
        new = {key: row for one in decodes for row in one.rows if (key := _key(row)) not in self._texts}
        keys, rows = list(new), list(new.values())
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            said = dict(zip(block, self._decode(np.stack(rows[start : start + BLOCK])), strict=True))
            self._texts |= said
            if self._kept is not None:
                self._kept.parent.mkdir(parents=True, exist_ok=True)
                with self._kept.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps([key, text]) + "\n" for key, text in said.items())

    def score(self, stream: Stream, decodes: Decodes, *, protocol: str = MAIN) -> float:
        """Mean CIDEr-D over the stream's annotations."""
        placed, match = PROTOCOLS[protocol]
        texts = [self._texts[_key(row)] for row in decodes.rows]
        annotations = stream.annotations(placed)
        total = 0.0
        for time, picture in annotations:
            place = nearest(decodes.times, time) if match == "nearest" else covering(decodes.starts, time)
            total += self._score(picture, texts[place])
        return total / len(annotations)

    def _score(self, picture: int, text: str) -> float:
        key = (picture, text)
        if key not in self._scores:
            self._scores[key] = self._cider.score(picture, text)
        return self._scores[key]


def _key(row: np.ndarray) -> str:
    return hashlib.blake2b(row.tobytes(), digest_size=12).hexdigest()


def _read_texts(file: Path) -> dict[str, str]:
    """Kept texts; a last line that a killed run left unfinished is not one."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        file.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
    return dict(json.loads(line) for line in lines[:-1])


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
    """How many times fewer decodes give the quality of uniform decoding at 1 Hz, with a bootstrap over streams."""

    def of(streams: np.ndarray | slice) -> float:
        return REFERENCE_RATE / curve.rate_at(cider_at(uniform, REFERENCE_RATE, streams), streams)

    random, count = np.random.default_rng(0), curve.rates.shape[1]
    drawn = np.array([of(random.integers(count, size=count)) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"times_fewer": of(slice(None)), "low": float(low), "high": float(high)}
