"""Where `stream` and `watch` take their frames from: files, iterables and live sources, behind one protocol."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from PIL import Image

from vljepa.configs import ImageConfig, LiveOptions
from vljepa.errors import ConfigError, VideoError
from vljepa.processing.given import ImageInput, as_rgb, is_image
from vljepa.processing.grid import Grid
from vljepa.processing.live import Gap, Halted, LiveSource
from vljepa.processing.live_places import STDIN, live_place, shown
from vljepa.processing.video import Frame, frame_at, read_frames

Source: TypeAlias = str | Path | Iterable[Frame | ImageInput]
"""A path, a live source as a word (see `stream`), or frames or bare images as they come."""


class FrameSource(Protocol):
    """Frames of one source, read once.

    Attributes:
        live: Whether frames are of now, so that the wall-clock says something about them.
        drops: Whether frames may be dropped when the model is too slow.
        lag: Seconds by which reading has fallen behind the source, where that can be known; otherwise 0.
    """

    live: bool
    drops: bool
    lag: float

    def frames(self, halted: Halted) -> Iterator[Frame | Gap]:
        """Frames in the order of time, and gaps between them; ends soon after `halted` says so, where it can."""
        ...

    def image_at(self, when: float) -> Image.Image | None:
        """The frame at a time in seconds, read once more; None where that cannot be."""
        ...


class GivenFrames:
    """Frames of an iterable or of a file.

    Images without a time are taken as those of a folder are: `grid.fps` per second, all of them looked at. Live ones
    have the time of their arrival.

    Args:
        frames: As they come; closed after use where that can be.
        grid: Which of them are looked at; without it all.
        live: They are of now.
        drops: They may be dropped.
        file: Where they are read from, `grid.fps` per second already, so that some of them can be read again.
        max_pixels: Cap on width x height of images that are files.
    """

    def __init__(
        self,
        frames: Iterable[Frame | ImageInput],
        *,
        grid: Grid | None = None,
        live: bool = False,
        drops: bool = False,
        file: str | Path | None = None,
        max_pixels: int = ImageConfig().max_pixels,
    ) -> None:
        self.live = live
        self.drops = drops
        self.lag = 0.0
        self._file = file
        self._frames = frames
        self._grid = grid
        self._max_pixels = max_pixels
        self._began = 0.0

    def frames(self, halted: Halted) -> Iterator[Frame | Gap]:
        """See `FrameSource`.

        Raises:
            ImageError: An image is none, or cannot be read.
            VideoError: Time goes back.
        """
        last = -math.inf
        frames = iter(self._frames)
        try:
            for number, given in enumerate(frames):
                frame = self._timed(given, number)
                if not frame.time >= last:
                    raise VideoError(
                        f"a frame at {frame.time} s comes after one at {last} s.", fix="give them in time order."
                    )
                last = frame.time
                timed = self._file is None and isinstance(given, Frame)
                if self._grid is None or not timed or self._grid.takes(frame.time):
                    yield frame
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def image_at(self, when: float) -> Image.Image | None:
        """See `FrameSource`; of files alone."""
        if self._file is None:
            return None
        fps = self._grid.fps if self._grid is not None else None
        try:
            return frame_at(self._file, when, fps=fps, max_pixels=self._max_pixels)
        except VideoError:
            return None

    def _timed(self, given: Frame | ImageInput, number: int) -> Frame:
        if isinstance(given, Frame):
            own: ImageInput = given.image  # a caller's frame may hold any
            return given if isinstance(own, Image.Image) else replace(given, image=self._image(own))
        image = self._image(given)
        if self.live:
            now = time.monotonic()
            self._began = now if number == 0 else self._began
            return Frame(image, now - self._began, number)
        return Frame(image, number / (self._grid.fps if self._grid is not None else 1.0), number)

    def _image(self, image: ImageInput) -> Image.Image:
        return as_rgb(image, max_pixels=self._max_pixels)


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
        return GivenFrames(
            read_frames(source, fps=grid.fps, max_pixels=max_pixels), grid=grid, file=source, max_pixels=max_pixels
        )
    if live is None:
        return GivenFrames(source, grid=grid, max_pixels=max_pixels)
    return GivenFrames(source, grid=grid, live=True, drops=live.drop is not False, max_pixels=max_pixels)


def check_source(source: object) -> None:
    """Raise ConfigError unless something can be a `Source`."""
    several = isinstance(source, np.ndarray | torch.Tensor) and source.ndim == 4
    single = is_image(source) and not isinstance(source, str | Path)
    if several or (isinstance(source, Iterable) and not single and not isinstance(source, Mapping)):
        return
    if isinstance(source, str | Path):
        return
    what = "a single image" if single else f"of type {type(source).__name__}"
    raise ConfigError(f"the source is {what}, which has no frames.", fix="give a path, or a list of frames or images.")


def is_live(source: Source) -> bool:
    """Whether a source is a word for a camera, an address or standard input.

    Raises:
        VideoError: As `open_source`.
    """
    return isinstance(source, str) and live_place(source) is not None


def named(sources: Iterable[Source]) -> dict[str, Source]:
    """Sources by name: paths and addresses as they may be shown, iterables by number, each name once.

    Raises:
        ConfigError: Standard input twice, or something that is no source.
    """
    names: dict[str, Source] = {}
    for number, source in enumerate(sources, start=1):
        check_source(source)
        name = shown(str(source)) if isinstance(source, str | Path) else f"source {number}"
        if name in names and source == STDIN:
            raise ConfigError("standard input can be read once only.", fix="name - once.")
        names[f"{name} ({number})" if name in names else name] = source
    return names
