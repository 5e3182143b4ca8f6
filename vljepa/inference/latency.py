"""How late a caption is: from the frame that ends its segment to its words, by stage, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Delay:
    """One caption's way, in seconds; the stages follow each other.

    Args:
        wait: The first frame of the next segment is there (decoded from the stream), is prepared, and waits its turn.
        encode: The X-Encoder looks at its batch.
        predict: The Predictor.
        decide: The segmenter waits for more frames before it believes in the change; their own way is in it.
        decode: The Y-Decoder says the segment.
    """

    wait: float
    encode: float
    predict: float
    decide: float
    decode: float

    @property
    def total(self) -> float:
        """From the frame to the words."""
        return self.wait + self.encode + self.predict + self.decide + self.decode


STAGES = tuple(one.name for one in fields(Delay))


class Latency:
    """Delays of the newest captions.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int = _KEPT) -> None:
        self._delays: deque[Delay] = deque(maxlen=limit)

    def add(self, delay: Delay) -> None:
        """Note one caption's."""
        self._delays.append(delay)

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the captions needed at most; None before the first."""
        return float(np.quantile([one.total for one in self._delays], share)) if self._delays else None

    def mean(self) -> float:
        """Seconds on average; 0 before the first."""
        return sum(one.total for one in self._delays) / max(1, len(self._delays))

    def shares(self) -> dict[str, float]:
        """Share of each stage in the time of all captions; they add up to 1. Empty before the first."""
        total = sum(one.total for one in self._delays)
        if total <= 0:
            return {}
        return {stage: sum(getattr(one, stage) for one in self._delays) / total for stage in STAGES}

    def summary(self) -> dict[str, float | int | dict[str, float] | None]:
        """`captions`, `p50` and `p99` in seconds, and `shares`, for JSON."""
        p50, p99 = self.quantile(0.5), self.quantile(0.99)
        return {
            "captions": len(self),
            "p50": None if p50 is None else round(p50, 4),
            "p99": None if p99 is None else round(p99, 4),
            "shares": {stage: round(share, 4) for stage, share in self.shares().items()},
        }

    def __len__(self) -> int:
        return len(self._delays)
