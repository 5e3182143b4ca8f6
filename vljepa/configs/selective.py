"""When words are decoded: the settings of selective decoding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vljepa.configs.part import Strict


class SelectiveConfig(Strict):
    """Where a stream of embeddings is cut into segments, one text each.

    The thresholds are fitted on validation streams sampled at `fps`.

    Args:
        fps: Embeddings per second of a video.
        method: Online score of a change.
        window: Rows on each side that the online score looks at.
        threshold: Online score above which the meaning has changed.
        max_delay: Longest delay of an online boundary, in seconds.
        readout: Decode the segment's mean embedding, or the exact one at its midpoint.
        offline_threshold: Ward distance above which two neighbouring segments stay apart.
    """

    fps: float = Field(4.0, gt=0)
    method: Literal["two_window", "running_ward", "local_variance"] = "two_window"
    window: int = Field(4, ge=1)
    threshold: float = Field(0.5, ge=0)
    max_delay: float = Field(2.0, ge=0)
    readout: Literal["mean", "exact"] = "mean"
    offline_threshold: float = Field(1.0, ge=0)
