"""Live sources by way of PyAV: cameras, addresses and standard input, followed through their losses."""

from __future__ import annotations

import os
import random
import select
import stat
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vljepa.configs import LiveOptions
from vljepa.errors import VideoError
from vljepa.processing.arrivals import Lag, arrivals, of_now
from vljepa.processing.grid import Grid, on_screen
from vljepa.processing.live_places import LivePlace
from vljepa.processing.video import Frame
from vljepa.processing.video_file import VideoFile

_TIMELESS = ("mjpeg", "mpjpeg", "jpeg_pipe", "png_pipe", "rawvideo")
"""Formats without times, for which FFmpeg makes up 25 frames per second."""
_LASTING = (
    "HTTPUnauthorizedError",
    "HTTPForbiddenError",
    "HTTPNotFoundError",
    "HTTPBadRequestError",
    "InvalidDataError",
    "ProtocolNotFoundError",
    "DemuxerNotFoundError",
    "PermissionError",
    "ArgumentError",
    "FileNotFoundError",
)
"""What waiting does not mend, when it is the first answer of all."""
_WORDS = {
    "OSError": "the connection broke",
    "ConnectionRefusedError": "connection refused",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection closed",
    "FileNotFoundError": "it is not there",
    "HTTPUnauthorizedError": "user or password is wrong (HTTP 401)",
    "HTTPForbiddenError": "access is forbidden (HTTP 403)",
    "HTTPNotFoundError": "there is nothing at this address (HTTP 404)",
    "InvalidDataError": "it is no video in a known format",
    "ArgumentError": "it is in a format that is not followed, such as a playlist or an image",
}
_PATIENCE = 0.1
"""Seconds between two looks at whether to stop."""

Halted = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Gap:
    """A live source is away, or back again.

    Args:
        start: Seconds of the stream; the last frame before it.
        end: The first frame after it; None while it lasts.
        reason: Why, in a few words.
        attempts: Tries to reach it so far.
        wait: Seconds until the next one, while it lasts.
    """

    start: float
    end: float | None
    reason: str
    attempts: int
    wait: float = 0.0


class LiveSource:
    """Frames of a live source, and the gaps between them, for as long as it can be reached.

    The time of a frame is that of its arrival, in seconds since the first one. Where the source is a recording (an
    address whose data says how long it is), or standard input in a format with times, it is the data's own.

    Args:
        place: Where it is.
        options: Patience, retries, dropping.
        grid: Which frames are looked at; the others are decoded, as codecs need, and not made into images.
        max_pixels: Cap on width x height.

    Attributes:
        live: Whether frames are of now: False once it has turned out to be a recording.
        drops: Whether frames may be dropped when the model is too slow.
        lag: Seconds by which the newest frame came later than its own time says, compared with the quickest one of
            the connection; 0 where frames have no times.
    """

    def __init__(self, place: LivePlace, *, options: LiveOptions, grid: Grid, max_pixels: int) -> None:
        self.live = True
        self.drops = not place.stdin if options.drop is None else options.drop
        self.lag = 0.0
        self._place = place
        self._options = options
        self._grid = grid
        self._max_pixels = max_pixels
        self._began: float | None = None  # arrival of the first frame, by the monotonic clock
        self._last = 0.0  # time of the newest frame
        self._count = 0  # frames that were taken

    def image_at(self, when: float) -> Image.Image | None:
        """None: what has been is gone."""
        return None

    def frames(self, halted: Halted) -> Generator[Frame | Gap, None, None]:
        """Frames in the order of time; a gap when it begins, after each vain attempt, and when it is over.

        Args:
            halted: Asked a few times per second; ends it also while it waits.

        Raises:
            VideoError: The source cannot be used at all, or was given up; standard input or a recording is damaged.
        """
        attempts, reason = 0, ""
        while not halted():
            try:
                # What was said lasts to the end of its last frame's slot.
                earliest = self._last + 1 / self._grid.fps if self._count else 0.0
                for frame in self._connected(halted):
                    if attempts and frame.time < earliest:
                        continue
                    if attempts:
                        yield Gap(self._last, frame.time, reason, attempts)
                        attempts = 0
                    self._last = frame.time
                    if self._grid.takes(frame.time) and (image := self._image(frame)) is not None:
                        yield Frame(image, frame.time, self._count)
                        self._count += 1
                return
            except _LostError as lost:
                if halted():
                    return
                if lost.lasting and self._began is None:
                    raise self._hopeless(lost) from None
                reason = lost.reason
            except VideoError as error:
                # Such as a stream whose images had not begun when it was joined again.
                if self._began is None or self._place.stdin or not self.live:
                    raise
                reason = error.message
            if attempts == self._options.retries:
                raise self._given_up(reason, attempts)
            wait = self._wait(attempts)
            yield Gap(self._last, None, reason, attempts, wait)
            attempts += 1
            _sleep(wait, halted)

    def _connected(self, halted: Halted) -> Iterator[_Arrival]:
        """Everything that one connection gives; returns at the end of what has one.

        Raises:
            _LostError: A live source cannot be reached or is gone.
        """
        with _Connection(self._place, options=self._options, max_pixels=self._max_pixels, halted=halted) as connection:
            self.live, own_times = not connection.recorded, connection.own_times
            if connection.recorded:
                self.drops = False
            shots, lag = connection.shots(0.0), Lag()
            if own_times:
                coming = arrivals(on_screen(shots, self._grid))  # an image may stay for long
            else:
                coming = arrivals(shots) if self._place.stdin else of_now(shots)
            for number, (now, shot) in enumerate(coming):
                if halted():
                    return
                if not own_times and not connection.timeless:
                    self.lag = lag.add(now, shot.time)
                self._began = now if self._began is None else self._began
                if own_times:
                    when = shot.time
                elif self._place.stdin and self._options.source_fps is not None:
                    when = number / self._options.source_fps
                else:
                    when = now - self._began
                yield _Arrival(when, shot.load)

    def _image(self, frame: _Arrival) -> Image.Image | None:
        try:
            return frame.load()
        except VideoError:
            if self.live:
                return None  # the next one comes at once
            raise

    def _wait(self, attempts: int) -> float:
        longest = min(self._options.longest_wait, self._options.first_wait * 2.0 ** min(attempts, 60))
        return longest * random.uniform(0.5, 1.0)

    def _given_up(self, reason: str, attempts: int) -> VideoError:
        again = "" if self._began is None else " again"
        tried = f"; attempts to reach it{again} that were in vain: {attempts}" if attempts else ""
        what = "cannot be reached" if self._began is None else "is gone"
        return VideoError(
            f"{self._place.name!r} {what}: {reason}{tried}.", fix="check the source, or allow more retries."
        )

    def _hopeless(self, lost: _LostError) -> VideoError:
        return VideoError(
            f"{self._place.name!r} cannot be watched: {lost.reason}.", fix="check the address, and that it plays."
        )


@dataclass(frozen=True, slots=True)
class _Arrival:
    time: float
    load: Callable[[], Image.Image]


class _LostError(Exception):
    """A connection that could not be made, or that is no more.

    Args:
        reason: In a few words.
        lasting: Trying again is in vain.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting


class _Connection(VideoFile):
    """One connection, read once from its beginning as the data comes.

    Attributes:
        recorded: It is no live source: the data says how long it is.
        own_times: Its frames keep the data's times.
        timeless: The times of its frames are made up.
    """

    _own_errors = (VideoError, _LostError)
    _other_format = "send MPEG-TS, Matroska, NUT, FLV, AVI, Ogg, YUV4MPEG, or JPEG or PNG images."

    def __init__(self, place: LivePlace, *, options: LiveOptions, max_pixels: int, halted: Halted) -> None:
        self._place = place
        self._options = options
        self._halted = halted
        super().__init__(place.name, max_pixels=max_pixels)
        self.timeless = self._container.format.name in _TIMELESS
        self.recorded = not place.stdin and place.format is None and bool(self._declared()) and not self.timeless
        self.own_times = self.recorded or (place.stdin and not self.timeless)

    def _connect(self) -> Any:
        place, options = self._place, self._options
        allowed = {**place.options, "max_pixels": str(2 * self.max_pixels)}
        target: Any = place.address
        kind = place.format
        if place.stdin:
            target = (_File if _is_file(0) else _Pipe)(0, self._halted)
            if options.size is not None:
                kind = "rawvideo"
                width, height = options.size
                allowed |= {"pixel_format": "rgb24", "video_size": f"{width}x{height}"}
        try:
            return self._av.open(
                target,
                format=kind,
                options=allowed,
                metadata_errors="replace",
                timeout=None if place.stdin else (options.timeout, options.timeout),
            )
        except Exception as error:
            if place.stdin:
                raise  # there is no second try
            name = type(error).__name__
            # The original, which a traceback would show, holds the address with its password.
            message = "no connection can be made" if name == "OSError" else self._said(name)
            raise _LostError(message, lasting=name in _LASTING) from None

    def _complain(self, clock: Any, *, damaged: int, broken: str) -> None:
        if not clock.ticked and not self._halted() and "mov" in self._container.format.name:
            raise VideoError(
                f"{self._place.name!r} is an MP4 with its index at the end, which cannot be read as it comes.",
                fix="name the file, rewrite it with `ffmpeg -movflags +faststart`, or send MPEG-TS or Matroska.",
            )
        if self._place.stdin or self.recorded:
            if not self._halted():
                super()._complain(clock, damaged=damaged, broken=broken)
            return
        raise _LostError(self._said(broken) if broken else "it ended")

    def _said(self, error: str) -> str:
        # FFmpeg's own messages hold the address, and with it the password.
        return f"nothing came for {self._options.timeout:g} s" if error == "ExitError" else _WORDS.get(error, error)


class _Pipe:
    """Standard input as PyAV reads it: what is there at once, and stopped from outside while nothing comes."""

    def __init__(self, descriptor: int, halted: Halted) -> None:
        self._descriptor = descriptor
        self._halted = halted

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while os.name != "nt":  # where only sockets can be selected
            if self._halted():
                return b""
            if select.select([self._descriptor], [], [], _PATIENCE)[0]:
                break
        return os.read(self._descriptor, size)


class _File(_Pipe):
    """Standard input that is a file: containers with an index at the end are read from there first."""

    def seek(self, offset: int, whence: int) -> int:
        """As `io.IOBase.seek`."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """As `io.IOBase.tell`."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _sleep(seconds: float, halted: Halted) -> None:
    until = time.monotonic() + seconds
    while not halted() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _PATIENCE))
