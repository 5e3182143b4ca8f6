"""How a live source is followed: patience, retries, and what happens when the model is too slow."""

from __future__ import annotations

from pydantic import Field

from vljepa.configs.part import Strict


class LiveOptions(Strict):
    """Settings of live sources; files have no use for them.

    Args:
        timeout: Seconds to wait for a connection, and for the next data of one, before it counts as lost.
        retries: Attempts in a row to reach a source again before it is given up; 0 ends at the first loss.
        first_wait: Seconds before the first of them; each wait is twice as long as the one before, less up to half
            of it at random, so that many watchers do not come back at once.
        longest_wait: Seconds that no wait exceeds.
        drop: When the model is slower than the source, drop the oldest waiting frame; otherwise the source has to wait.
            Without it: cameras, addresses and iterables drop, standard input does not.
        min_fps: Frames per second below which the rate is never lowered when the model is too slow; without it a
            quarter of the full rate. The full rate itself keeps the rate fixed.
        size: Standard input carries raw rgb24 images of this width and height.
        source_fps: Images per second of standard input in a format without times (MJPEG, PNG, raw); without it an
            image's time is that of its arrival.
    """

    timeout: float = Field(10.0, gt=0, le=3600)
    retries: int = Field(10, ge=0)
    first_wait: float = Field(0.5, gt=0, le=3600)
    longest_wait: float = Field(30.0, gt=0, le=3600)
    drop: bool | None = None
    min_fps: float | None = Field(None, gt=0)
    size: tuple[int, int] | None = None
    source_fps: float | None = Field(None, gt=0, le=1000)
