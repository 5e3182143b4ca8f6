"""What files, folders and animations have in common: images that each stay on the screen for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self

from PIL import Image

TOLERANCE = 1e-3
"""Seconds by which two times may differ and still be one: Matroska counts in milliseconds."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video says about itself.

    Args:
        duration: Seconds, where known.
        frame_count: Frames, where the file says so.
        fps: Frames per second on average, where known.
        width: Pixels, upright.
        height: Pixels, upright.
    """

    duration: float | None
    frame_count: int | None
    fps: float | None
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """One image and when it is on the screen.

    Args:
        time: Seconds from the start of the video.
        duration: Seconds until the next one should follow; 0 when unknown.
        load: Makes the upright RGB image, which costs more than knowing of it; raises VideoError when it cannot.
    """

    time: float
    duration: float
    load: Callable[[], Image.Image]

    @cached_property
    def image(self) -> Image.Image:
        """The upright RGB image."""
        return self.load()


class ShotSource(Protocol):
    """An open video. Only the newest iterator of `shots` is alive."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def info(self) -> VideoInfo:
        """What the video says about itself; one frame is decoded."""
        ...

    def duration(self) -> float:
        """Seconds."""
        ...

    def times(self) -> Sequence[float]:
        """Times of all shots, ascending, found without decoding."""
        ...

    def shots(self, start: float) -> Iterator[Shot]:
        """Shots from the one on the screen at `start`, or an earlier one, to the end.

        Raises:
            VideoError: After the last shot, when damage or an early end has cost some.
        """
        ...

    def entry(self, time: float) -> float:
        """Latest known time, at most `time`, where decoding can begin; -inf where that is not known."""
        ...
