"""Videos: frames with their times from files, frame folders and animations, decoding only what is asked for."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as count_up
from pathlib import Path

from PIL import Image

from vljepa.configs import ImageConfig
from vljepa.errors import VideoError
from vljepa.processing.file_errors import naming_file
from vljepa.processing.file_types import file_type
from vljepa.processing.image_sequence import Animation, FrameFolder, is_animation
from vljepa.processing.shots import TOLERANCE, Shot, ShotSource, VideoInfo
from vljepa.processing.video_file import VideoFile

_MAX_FPS = 1000.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that was asked for.

    Args:
        image: Upright RGB image.
        time: Seconds from the start of the video at which it is on the screen.
        index: Running number among the frames that were asked for.
    """

    image: Image.Image
    time: float
    index: int


def probe_video(path: str | Path) -> VideoInfo:
    """Duration, frame count, rate and upright size; decodes one frame of a file, and all of an animation.

    A frame folder counts as one image per second. The cap on pixels is the default one of `ImageConfig`.

    Raises:
        VideoError: As `read_frames`.
    """
    with naming_file(path, VideoError), _open(path, folder_fps=1.0, max_pixels=ImageConfig().max_pixels) as source:
        return source.info()


def read_frames(
    path: str | Path,
    *,
    fps: float | None = None,
    count: int | None = None,
    start: float = 0.0,
    end: float | None = None,
    max_pixels: int,
) -> Iterator[Frame]:
    """Frames of a video file, a folder of images, or an animated GIF, WebP, AVIF or PNG, one at a time.

    With `fps`, what is on the screen at `start`, `start + 1 / fps` and so on, whatever the video's own rate: a frame
    that stays is repeated. With `count`, that many frames at equal distances, the first and the last included: number
    i * (total - 1) / (count - 1). With neither, every frame. Times are those that the file gives its frames. The
    images of a folder are taken to be `fps` per second (one per second without it), and all are read.

    What cannot be decoded is passed over. When that, or an early end of the file, has cost frames, the error comes
    after the last frame that could be read, so that whoever takes frames as they come has them all.

    Args:
        path: Local file or folder.
        fps: Frames per second.
        count: Number of frames.
        start: Seconds from the start of the video.
        end: Seconds from the start of the video, not included; to the end when absent.
        max_pixels: Cap on width x height, checked before a frame is decoded.

    Raises:
        VideoError: Missing, not local, not a video, sound only, above the cap, PyAV is not installed, a number that
            makes no sense, nothing to see between `start` and `end`; after the last frame: damaged or cut short.
    """
    assert fps is None or count is None, "one way of sampling"
    _check_numbers(fps=fps, count=count, start=start, end=end)
    return _read(path, fps=fps, count=count, start=start, end=end, max_pixels=max_pixels)


def frame_at(path: str | Path, when: float, *, fps: float | None, max_pixels: int) -> Image.Image:
    """What is on the screen at a time, as `read_frames` at this `fps` has it.

    Raises:
        VideoError: As `read_frames`.
    """
    for frame in read_frames(path, fps=fps, start=when, max_pixels=max_pixels):
        return frame.image
    raise _nothing(path, when, None)


def even_shares(count: int) -> list[float]:
    """Places of `count` frames within a clip, the middles of its equal parts, for `read_clip`."""
    return [(number + 0.5) / count for number in range(count)]


def read_clip(
    path: str | Path, *, shares: Sequence[float], start: float = 0.0, end: float | None = None, max_pixels: int
) -> list[Image.Image]:
    """Frames at given places of a clip.

    Args:
        path: As `read_frames`.
        shares: Places within the clip, ascending, from 0 (its start) to below 1 (its end).
        start: Start of the clip in seconds.
        end: End of the clip in seconds; that of the video when absent or later.
        max_pixels: As `read_frames`.

    Raises:
        VideoError: As `read_frames`; also when a single wanted frame cannot be had.
    """
    _check_numbers(fps=None, count=None, start=start, end=end)
    with naming_file(path, VideoError), _open(path, folder_fps=1.0, max_pixels=max_pixels) as source:
        length = source.duration()
        stop = length if end is None else min(end, length)
        if start >= stop:
            raise _nothing(path, start, end)
        times = [start + share * (stop - start) for share in shares]
        images = [shot.image for _, shot in _on_screen(source, times, hold=True)]
    assert len(images) == len(shares)
    return images


def sliding_windows(frames: Iterable[Frame], *, window: int, stride: int) -> Iterator[list[Frame]]:
    """Overlapping runs of frames; the last one ends before the frames do when the stride does not fit.

    Args:
        frames: In order.
        window: Frames per run.
        stride: Frames from the start of one run to the start of the next.

    Returns:
        Lists of `window` frames; of fewer only when there are fewer in all.

    Example:
        >>> frames = read_frames("clip.mp4", fps=4, max_pixels=100_000_000)  # doctest: +SKIP
        >>> for run in sliding_windows(frames, window=8, stride=4):  # doctest: +SKIP
        ...     clip = processor.frames([frame.image for frame in run])  # [T, C, H, W]
    """
    assert window >= 1
    assert stride >= 1
    held: deque[Frame] = deque(maxlen=window)
    seen = 0
    for seen, frame in enumerate(frames, start=1):
        held.append(frame)
        if seen >= window and (seen - window) % stride == 0:
            yield list(held)
    if 0 < seen < window:
        yield list(held)


def _read(
    path: str | Path, *, fps: float | None, count: int | None, start: float, end: float | None, max_pixels: int
) -> Iterator[Frame]:
    stop = math.inf if end is None else end
    with naming_file(path, VideoError), _open(path, folder_fps=fps or 1.0, max_pixels=max_pixels) as source:
        found: Iterator[tuple[float, Shot]]
        if count is not None:
            inside = array("d", (time for time in source.times() if _inside(time, start, stop)))
            found = _on_screen(source, _uniform(inside, count), to_the_last=True)
        elif fps is not None:
            found = _on_screen(source, _grid(fps, start, stop))
        else:
            found = _every(source, start, stop)
        index, lost, first = 0, 0, ""
        for time, shot in found:
            try:
                image = shot.image
            except VideoError as error:
                lost, first = lost + 1, first or error.message
                continue
            yield Frame(image, time, index)
            index += 1
        if lost:
            raise VideoError(
                f"frames of {str(path)!r} that are unreadable: {lost}; the first: {first}",
                fix="use what was read, or mend them.",
            )
        if index == 0:
            raise _nothing(path, start, end)


def _every(source: ShotSource, start: float, stop: float) -> Iterator[tuple[float, Shot]]:
    for shot in source.shots(start):
        if _inside(shot.time, start, stop):
            yield shot.time, shot
        elif shot.time > start:
            return


def _inside(time: float, start: float, stop: float) -> bool:
    return start - TOLERANCE <= time < stop - TOLERANCE


def _grid(fps: float, start: float, stop: float) -> Iterator[float]:
    for number in count_up():
        time = start + number / fps
        if time >= stop:
            return
        yield time


def _uniform(times: Sequence[float], count: int) -> list[float]:
    if not times:
        return []
    if count == 1:
        return [times[(len(times) - 1) // 2]]
    return [times[round(number * (len(times) - 1) / (count - 1))] for number in range(count)]


def _on_screen(
    source: ShotSource, times: Iterable[float], *, hold: bool = False, to_the_last: bool = False
) -> Iterator[tuple[float, Shot]]:
    """What is on the screen at ascending times, as far as the video goes.

    Args:
        source: The video.
        times: Seconds.
        hold: The last frame of a sound file stands for all later times.
        to_the_last: The times were found in the file itself: that all have been reached does not mean that all is well.

    Raises:
        VideoError: At the end, when the file breaks off before the times do.
    """
    ahead: _Ahead | None = None
    for time in times:
        if ahead is None or (ahead.upcoming is not None and source.entry(time) > ahead.upcoming.time + TOLERANCE):
            ahead = _Ahead(source.shots(time))
        ahead.go_to(time)
        shot = ahead.current or ahead.upcoming
        if shot is None:
            break
        over = ahead.upcoming is None and time >= shot.time + shot.duration - TOLERANCE
        if over and not to_the_last and (not hold or ahead.complaint is not None):
            break
        yield time, shot
    else:
        if not to_the_last:
            return
    if ahead is not None and ahead.complaint is not None:
        raise ahead.complaint


class _Ahead:
    """Shots with the next one known already, and the complaint about missing ones kept for later."""

    def __init__(self, shots: Iterator[Shot]) -> None:
        self._shots = shots
        self.complaint: VideoError | None = None
        self.current: Shot | None = None
        self.upcoming = self._next()

    def go_to(self, time: float) -> None:
        while self.upcoming is not None and self.upcoming.time <= time + TOLERANCE:
            self.current, self.upcoming = self.upcoming, self._next()

    def _next(self) -> Shot | None:
        try:
            return next(self._shots, None)
        except VideoError as error:
            self.complaint = error
            return None


def _open(path: str | Path, *, folder_fps: float, max_pixels: int) -> ShotSource:
    if "://" in str(path):
        raise VideoError(f"{str(path)!r} is not a local file.", fix="download the video, and name the file.")
    path = Path(path)
    try:
        path = path.resolve()  # an absolute path is nothing else to FFmpeg, which reads "concat:a|b" as a command
        if path.is_dir():
            return FrameFolder(path, fps=folder_fps, max_pixels=max_pixels)
        if not path.exists():
            raise VideoError(f"there is no video {str(path)!r}.", fix="check the path.")
        if not path.is_file():
            raise VideoError(f"{str(path)!r} is not a file.", fix="record a device to a file first.")
        if is_animation(path):
            return Animation(path, max_pixels=max_pixels)
        if file_type(path) == "heic":
            raise VideoError(f"{str(path)!r} is a HEIC image, not a video.", fix="open it as an image.")
    except (OSError, ValueError, RuntimeError) as error:
        raise VideoError(f"cannot read {str(path)!r}: {error}.", fix="check the path and its permissions.") from error
    return VideoFile(path, max_pixels=max_pixels)


def _check_numbers(*, fps: float | None, count: int | None, start: float, end: float | None) -> None:
    if fps is not None and not 0 < fps <= _MAX_FPS:
        raise VideoError(f"fps = {fps} is not a rate.", fix=f"give a number above 0 and up to {_MAX_FPS:g}.")
    if count is not None and count < 1:
        raise VideoError(f"count = {count} frames make no sense.", fix="ask for at least one.")
    if not (math.isfinite(start) and start >= 0):
        raise VideoError(f"start = {start} is not a time.", fix="give seconds from the start of the video.")
    if end is not None and not end > start:
        raise VideoError(f"end = {end} does not come after start = {start}.", fix="give a later end.")


def _nothing(path: str | Path, start: float, end: float | None) -> VideoError:
    until = "the end" if end is None else f"{end:g} s"
    return VideoError(f"{str(path)!r} has no frame from {start:g} s to {until}.", fix="check start and end.")
