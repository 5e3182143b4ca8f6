"""One search result, and what may be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vljepa.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result: an image, or a segment of a video.

    Args:
        path: Of the file, relative to the index's folder.
        score: Cosine between the query and the image or segment, from -1 to 1.
        start: Of a segment, in seconds from the start of its video; None for an image, as the next two.
        end: Of a segment, not included.
        time: Of the segment's best frame.
    """

    path: str
    score: float
    start: float | None = None
    end: float | None = None
    time: float | None = None


def check_limits(*, k: int, per_video: int | None, min_score: float) -> None:
    """Raise ConfigError for limits of a search that make no sense."""
    for name, count in (("k", k), ("per_video", per_video)):
        if count is not None and count < 1:
            raise ConfigError(f"{name} is {count}.", fix="ask for at least 1.")
    if not -1 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}, and a cosine is from -1 to 1.", fix="give such a number.")
