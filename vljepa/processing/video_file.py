"""Video files by way of PyAV: local, of known formats, each frame with its own time, upright and in its own shape."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from PIL import Image

from vljepa.errors import VideoError
from vljepa.processing.hdr import is_hdr, sdr_image
from vljepa.processing.shots import TOLERANCE, Shot, VideoInfo
from vljepa.processing.upright import turn_of

# What cameras, phones and editors write. Playlists (hls, concat, dash, sdp, image2) would open other files or hosts.
_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg"
_PROTOCOLS = "file"
_LONGEST_GAP = 24 * 3600.0
"""Seconds between two frames beyond which their times are taken for damaged."""
_LEAP = 60.0
"""Seconds between two frames beyond which the time of the frame after them has to bear it out."""
_LATE = 0.5
"""Seconds, or a hundredth of the video where that is more, that may be missing at its end without complaint."""


class VideoFile:
    """A `ShotSource` over one video file.

    Whatever PyAV raises over a packet is damage: beside its own errors it stumbles over streams that appear late,
    formats that it does not know, and (as `MemoryError`) sizes that nobody could hold.

    Args:
        path: An existing, regular file.
        max_pixels: Cap on width x height, checked before a frame is decoded and again on each frame.

    Raises:
        VideoError: Not a video, no moving image in it, above the cap, or PyAV is missing.
    """

    _own_errors: tuple[type[Exception], ...] = (VideoError,)
    _other_format = "convert it to MP4; for an image there are `vljepa caption`, `ask` and `classify`."

    def __init__(self, path: Path | str, *, max_pixels: int) -> None:
        self._av = require_pyav()
        self.path = path
        self.max_pixels = max_pixels
        self._turn: Image.Transpose | None = None
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def info(self) -> VideoInfo:
        """See `ShotSource`."""
        width, height = next(self.shots(0.0)).image.size
        rate = self._stream.average_rate
        return VideoInfo(
            duration=self._declared(),
            frame_count=self._stream.frames or None,
            fps=float(rate) if rate else None,
            width=width,
            height=height,
        )

    def duration(self) -> float:
        """See `ShotSource`; read through where the file does not say."""
        declared = self._declared()
        if declared is not None:
            return declared
        times = self.times()
        return (times[-1] if times else 0.0) + self._nominal()

    def times(self) -> array[float]:
        """See `ShotSource`; 8 bytes per frame."""
        self._rewind()
        times = array("d")
        try:
            for packet in self._container.demux(self._stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if packet.size > 0 and stamp is not None and not packet.is_discard:
                    times.append(self._seconds(stamp))
        except Exception:
            pass  # `shots` meets the same damage, and says so
        return array("d", sorted(times))

    def entry(self, time: float) -> float:
        """See `ShotSource`; from the index that MP4, MOV, AVI and Matroska files have."""
        index = self._stream.index_entries
        place = index.search_timestamp(self._stamp(time), backward=True)
        return self._seconds(index[place].timestamp) if place >= 0 else float("-inf")

    def shots(self, start: float) -> Iterator[Shot]:
        """See `ShotSource`."""
        # Some formats land after the wanted time; then once more from further back, at last from the beginning.
        for back in (0.0, 2.0, 30.0):
            if start - back <= 0 or not self._seek(start - back):
                break
            run = self._decode()
            try:
                first = next(run)
            except VideoError:
                break
            if first.time <= start + TOLERANCE:
                yield first
                yield from run
                return
        self._rewind()
        yield from self._decode()

    def _decode(self) -> Iterator[Shot]:
        """All frames from here on; what is lost on the way is said after the last one."""
        clock = _Clock(self._nominal())
        held: Any = None  # a frame far ahead of the one before
        damaged, broken = 0, ""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
            except Exception as error:
                broken = type(error).__name__
                break
            try:
                frames = packet.decode()
            except Exception:
                # Recordings that begin between two key frames cannot show what comes before the second.
                damaged += packet.size > 0 and clock.ticked
                continue
            for frame in frames:
                raw = self._own_time(frame)
                if held is not None:
                    believed = self._borne_out(held, by=raw)
                    damaged += not believed
                    yield self._shot(held, clock, believed=believed)
                    held = None
                if clock.leaps(raw):
                    held = frame
                else:
                    yield self._shot(frame, clock)
        if held is not None:
            believed = self._own_time(held) <= (self._declared() or 0.0)  # no frame can tell
            damaged += not believed
            yield self._shot(held, clock, believed=believed)
        self._complain(clock, damaged=damaged, broken=broken)

    def _borne_out(self, frame: Any, *, by: float | None) -> bool:
        """Whether the time of a frame far ahead is believed, by that of the one after it."""
        return by is not None and 0 <= by - self._own_time(frame) < _LONGEST_GAP

    def _own_time(self, frame: Any) -> Any:
        """Seconds, as the file has it; None where it does not say."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        return None if stamp is None else self._seconds(stamp)

    def _shot(self, frame: Any, clock: _Clock, *, believed: bool = True) -> Shot:
        aspect = float(self._stream.sample_aspect_ratio or 1)
        width = round(frame.width * aspect) if 0.1 < aspect < 10 else frame.width
        _check_size(self.path, max(width, frame.width), frame.height, self.max_pixels)
        if not clock.ticked:
            self._turn = turn_of(frame)
        time = clock.tick(self._own_time(frame), believed=believed)
        duration = float((frame.duration or 0) * self._stream.time_base)
        clock.shown = min(duration or self._nominal(), _LONGEST_GAP)
        return Shot(time, clock.shown, partial(self._image, frame, width=width))

    def _image(self, frame: Any, *, width: int) -> Image.Image:
        """Upright image of a frame whose pixels are square at this width."""
        try:
            image: Image.Image
            if is_hdr(frame):
                image = sdr_image(frame, width=width)
            else:
                image = frame.to_image() if width == frame.width else frame.to_image(width=width)
        except Exception as error:
            raise VideoError(
                f"a frame of {str(self.path)!r} is no image ({type(error).__name__}).", fix="convert it to MP4."
            ) from error
        return image if self._turn is None else image.transpose(self._turn)

    def _complain(self, clock: _Clock, *, damaged: int, broken: str) -> None:
        name, end = repr(str(self.path)), clock.last + clock.shown
        if not clock.ticked:
            raise VideoError(f"no frame of {name} can be decoded.", fix="check that it plays, or convert it to MP4.")
        declared = self._stream_duration()
        if broken or (declared is not None and declared - end > max(_LATE, declared / 100)):
            whole = f" of {declared:.2f} s" if declared is not None else ""
            raise VideoError(
                f"{name} breaks off after {end:.2f} s{whole}{f' ({broken})' if broken else ''}.",
                fix="use what was read, or get the whole file.",
            )
        if damaged:
            raise VideoError(f"{name} has damaged packets: {damaged}.", fix="use what was read, or mend the file.")

    def _open(self) -> None:
        try:
            container = self._connect()
        except self._own_errors:
            raise
        except self._av.error.ArgumentError as error:
            raise VideoError(
                f"{str(self.path)!r} is in a format that is not read as a video.",
                fix=self._other_format,
            ) from error
        except Exception as error:
            raise VideoError(
                f"{str(self.path)!r} is not a readable video ({type(error).__name__}).",
                fix="check that it plays, or convert it to MP4.",
            ) from error
        try:
            self._stream = self._moving_image(container)
        except Exception:
            container.close()
            raise
        self._stream.codec_context.options = {"max_pixels": str(2 * self.max_pixels)}
        self._container = container
        begin = container.start_time
        self._begin = begin / 1e6 if begin is not None else 0.0
        self._fresh = True

    def _connect(self) -> Any:
        # Decoders see sizes rounded up to their blocks, so their own limit is loose; the exact one is checked here.
        options = {
            "protocol_whitelist": _PROTOCOLS,
            "format_whitelist": _FORMATS,
            "max_pixels": str(2 * self.max_pixels),
        }
        return self._av.open(str(self.path), options=options, metadata_errors="replace")

    def _moving_image(self, container: Any) -> Any:
        cover = self._av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise VideoError(f"{str(self.path)!r} has no moving image, only sound.", fix="name a video.")
        coder = streams[0].codec_context
        if coder is None:
            raise VideoError(f"{str(self.path)!r} is in a format without a decoder.", fix="convert it to MP4.")
        _check_size(self.path, coder.width, coder.height, self.max_pixels)
        return streams[0]

    def _rewind(self) -> None:
        if not self._fresh:
            self._container.close()
            self._open()
        self._fresh = False

    def _seek(self, time: float) -> bool:
        self._fresh = False
        try:
            self._container.seek(self._stamp(time), stream=self._stream)
        except Exception:
            return False
        return True

    def _seconds(self, stamp: int) -> float:
        return float(stamp * self._stream.time_base) - self._begin

    def _stamp(self, time: float) -> int:
        # Never beyond 64 bits, whatever the time.
        return min(int((time + self._begin) / self._stream.time_base), 2**62)

    def _nominal(self) -> float:
        rate = self._stream.average_rate
        return 1.0 / float(rate) if rate else 0.0

    def _stream_duration(self) -> float | None:
        """Of the moving image itself: sound may be longer."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        hours, _, rest = self._stream.metadata.get("DURATION", "").partition(":")
        minutes, _, seconds = rest.partition(":")
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return None

    def _declared(self) -> float | None:
        whole = self._container.duration
        return self._stream_duration() or (whole / 1e6 if whole else None)


class _Clock:
    """Keeps time going forward where the file's own goes back (joined recordings) or far ahead (damage).

    Args:
        nominal: Seconds per frame, on average.
    """

    def __init__(self, nominal: float) -> None:
        self.nominal = nominal
        self.last = 0.0
        self.shown = 0.0
        self.ticked = False
        self._shift = 0.0

    def leaps(self, raw: float | None) -> bool:
        """Whether the next frame's own time is so far ahead that it may be damaged."""
        return self.ticked and raw is not None and _LEAP < raw + self._shift - self.last < _LONGEST_GAP

    def tick(self, raw: float | None, *, believed: bool = True) -> float:
        """Time of the next frame.

        Args:
            raw: Its own in seconds, where it has one.
            believed: It may be far ahead.
        """
        following = self.last + (self.nominal if self.ticked else 0.0)
        time = following if raw is None else raw + self._shift
        longest = _LONGEST_GAP if believed else _LEAP
        if self.ticked and not self.last - 1.0 < time < self.last + longest:
            self._shift += following - time
            time = following
        self.last = max(time, self.last) if self.ticked else time
        self.ticked = True
        return self.last


def require_pyav() -> ModuleType:
    """PyAV, which reads video files.

    Raises:
        VideoError: It does not load.
    """
    try:
        import av
    except ImportError as error:
        raise VideoError(
            f"PyAV does not load ({error}); it reads video files.", fix='pip install "av>=18,<19"'
        ) from error
    return av


def _check_size(path: Path | str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise VideoError(
            f"{str(path)!r} has frames of {width} x {height} pixels, the cap is {max_pixels:,}.",
            fix="scale the video down, or raise x_encoder.image.max_pixels.",
        )
