"""Where `stream` and `watch` take their frames from: files, iterables and live sources, behind one protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

from vljepa.configs import LiveOptions
from vljepa.errors import ConfigError, VideoError
from vljepa.processing.grid import Grid
from vljepa.processing.live import Gap, Halted, LiveSource
from vljepa.processing.live_places import STDIN, live_place, shown
from vljepa.processing.video import Frame, read_frames

Source: TypeAlias = str | Path | Iterable[Frame]
"""A path, a live source as a word (see `stream`), or frames as they come."""


class FrameSource(Protocol):
    """Frames of one source, read once.

    Attributes:
        live: Whether frames are of now, so that the clock on the wall says something about them.
        drops: Whether frames may be dropped when the model is too slow.
        lag: Seconds by which reading has fallen behind the source, where that can be known; otherwise 0.
    """

    live: bool
    drops: bool
    lag: float

    def frames(self, halted: Halted) -> Iterator[Frame | Gap]:
        """Frames in the order of time, and gaps between them; ends soon after `halted` says so, where it can."""
        ...


class GivenFrames:
    """Frames of an iterable or of a file.

    Args:
        frames: As they come; closed after use where that can be.
        grid: Which of them are looked at; without it all.
        live: They are of now.
        drops: They may be dropped.
    """

    def __init__(
        self, frames: Iterable[Frame], *, grid: Grid | None = None, live: bool = False, drops: bool = False
    ) -> None:
        self.live = live
        self.drops = drops
        self.lag = 0.0
        self._frames = frames
        self._grid = grid

    def frames(self, halted: Halted) -> Iterator[Frame | Gap]:
        """See `FrameSource`.

        Raises:
            VideoError: Time goes back.
        """
        last = -math.inf
        frames = iter(self._frames)
        try:
            for frame in frames:
                if not frame.time >= last:
                    raise VideoError(
                        f"a frame at {frame.time} s comes after one at {last} s.", fix="give them in time order."
                    )
                last = frame.time
                if self._grid is None or self._grid.takes(frame.time):
                    yield frame
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()


def open_source(source: Source, *, grid: Grid, live: LiveOptions | None, max_pixels: int) -> FrameSource:
    """A source ready to be read; nothing is opened before the first frame is asked for.

    Args:
        source: See `Source`.
        grid: Frames per second to look at.
        live: Settings of live sources; given for an iterable, it is one.
        max_pixels: Cap on width x height of what is decoded here.

    Raises:
        VideoError: An address of an unknown kind, or a camera where there is no way to one.
    """
    if isinstance(source, str) and (place := live_place(source)) is not None:
        return LiveSource(place, options=live or LiveOptions(), grid=grid, max_pixels=max_pixels)
    if isinstance(source, str | Path):
        return GivenFrames(read_frames(source, fps=grid.fps, max_pixels=max_pixels))
    if live is None:
        return GivenFrames(source, grid=grid)
    return GivenFrames(source, grid=grid, live=True, drops=live.drop is not False)


def is_live(source: Source) -> bool:
    """Whether a source is a word for a camera, an address or standard input.

    Raises:
        VideoError: As `open_source`.
    """
    return isinstance(source, str) and live_place(source) is not None


def named(sources: Iterable[Source]) -> dict[str, Source]:
    """Sources by name: paths and addresses as they may be shown, iterables by number, each name once.

    Raises:
        ConfigError: Standard input twice.
    """
    names: dict[str, Source] = {}
    for number, source in enumerate(sources, start=1):
        name = shown(str(source)) if isinstance(source, str | Path) else f"source {number}"
        if name in names and source == STDIN:
            raise ConfigError("standard input can be read once only.", fix="name - once.")
        names[f"{name} ({number})" if name in names else name] = source
    return names
