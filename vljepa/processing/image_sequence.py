"""Videos without a video format: folders of images, and animated GIF, WebP, AVIF and PNG."""

from __future__ import annotations

import re
import warnings
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from vljepa.errors import ImageError, VideoError
from vljepa.processing.file_types import file_type, read_head, type_by_suffix, type_of_bytes
from vljepa.processing.image import open_image, to_rgb
from vljepa.processing.shots import Shot, VideoInfo
from vljepa.processing.transparency import Ground, ground_for

_ANIMATIONS = ("AVIF", "GIF", "PNG", "WEBP")
"""Pillow's readers of formats that may move."""
_BLINK = 0.1
"""Seconds that browsers show a frame for which an animation asks 10 ms or less."""


class FrameFolder:
    """A `ShotSource` over the images in a folder, in natural order (`2.png` before `10.png`).

    Args:
        folder: The folder; folders in it are left out.
        fps: Images per second.
        max_pixels: Cap on width x height of each image.

    Raises:
        VideoError: No images in it.
    """

    def __init__(self, folder: Path, *, fps: float, max_pixels: int) -> None:
        self.folder = folder
        self.fps = fps
        self.max_pixels = max_pixels
        try:
            self.files = frame_files(folder)
        except OSError as error:
            raise VideoError(f"cannot read the folder {str(folder)!r}: {error.strerror}.", fix="mend it.") from error
        if not self.files:
            raise VideoError(f"the folder {str(folder)!r} has no frames.", fix="put images in it, such as JPEG or PNG.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def info(self) -> VideoInfo:
        """See `ShotSource`."""
        width, height = next(self.shots(0.0)).image.size
        return VideoInfo(self.duration(), len(self.files), self.fps, width, height)

    def duration(self) -> float:
        """See `ShotSource`."""
        return len(self.files) / self.fps

    def times(self) -> array[float]:
        """See `ShotSource`."""
        return array("d", (number / self.fps for number in range(len(self.files))))

    def entry(self, time: float) -> float:
        """See `ShotSource`; any."""
        return time

    def shots(self, start: float) -> Iterator[Shot]:
        """See `ShotSource`; an image that cannot be read says so when it is asked for."""
        first = max(0, int(start * self.fps))
        for number, file in enumerate(self.files[first:], start=first):
            yield Shot(number / self.fps, 1 / self.fps, partial(self._load, file))

    def _load(self, file: Path) -> Image.Image:
        try:
            return open_image(file, max_pixels=self.max_pixels)
        except ImageError as error:
            raise VideoError(error.message, fix=error.fix) from error


class Animation:
    """A `ShotSource` over an animated GIF, WebP, AVIF or PNG, with its own durations.

    Args:
        path: The file.
        max_pixels: Cap on width x height, checked on the header before a pixel is decoded.

    Raises:
        VideoError: Not readable, or above the cap.
    """

    def __init__(self, path: Path, *, max_pixels: int) -> None:
        self.path = path
        self.max_pixels = max_pixels
        self._image = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.close()

    def info(self) -> VideoInfo:
        """See `ShotSource`."""
        times, duration = self.times(), self.duration()
        width, height = self._image.size
        return VideoInfo(duration, len(times), len(times) / duration, width, height)

    def duration(self) -> float:
        """See `ShotSource`; all frames are read."""
        end = 0.0
        for shot in self._readable():
            end = shot.time + shot.duration
        return end

    def times(self) -> array[float]:
        """See `ShotSource`; an animation has to be decoded to be counted."""
        return array("d", (shot.time for shot in self._readable()))

    def entry(self, time: float) -> float:
        """See `ShotSource`: each frame builds upon the one before."""
        del time
        return float("-inf")

    def shots(self, start: float) -> Iterator[Shot]:
        """See `ShotSource`; always from the first."""
        del start
        self._image.close()
        self._image = self._open()
        time, number = 0.0, int(self._hides_the_first())
        ground: Ground | None = None
        while True:
            try:
                self._image.seek(number)
                self._check_size(self._image)  # a frame of a GIF may reach beyond the first
                self._image.load()  # WebP and AVIF know the duration only then
                if ground is None and self._image.has_transparency_data:
                    ground = ground_for(self._image.convert("RGBA"))  # one for all frames, or they would flicker
                image = to_rgb(self._image, ground=ground, name=repr(str(self.path)))
            except EOFError:
                break
            except VideoError:
                raise
            except (Exception, MemoryError) as error:
                raise VideoError(
                    f"{str(self.path)!r} breaks off after {time:.2f} s ({type(error).__name__}: {error}).",
                    fix="use what was read, or get the whole file.",
                ) from error
            asked = self._image.info.get("duration", 0) / 1000
            duration = asked if asked > 0.01 else _BLINK
            yield Shot(time, duration, lambda image=image: image)  # type: ignore[misc]
            time += duration
            number += 1

    def _hides_the_first(self) -> bool:
        """Whether the first image is only for readers that know no animations, as a PNG may have it."""
        return bool(self._image.info.get("default_image")) and getattr(self._image, "n_frames", 1) > 1

    def _readable(self) -> Iterator[Shot]:
        """Shots up to the first that cannot be read."""
        number = 0
        try:
            for shot in self.shots(0.0):
                yield shot
                number += 1
        except VideoError:
            if number == 0:
                raise

    def _open(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                # Pillow warns near its own bomb limit; the cap below is ours and is an error.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image: Image.Image = Image.open(self.path, formats=_ANIMATIONS)
        except (Exception, MemoryError) as error:
            raise VideoError(
                f"{str(self.path)!r} is not a readable animation ({type(error).__name__}: {error}).",
                fix="convert or remove the file.",
            ) from error
        self._check_size(image)
        return image

    def _check_size(self, image: Image.Image) -> None:
        if image.width * image.height > self.max_pixels:
            raise VideoError(
                f"{str(self.path)!r} has frames of {image.width} x {image.height} pixels, "
                f"the cap is {self.max_pixels:,}.",
                fix="scale it down, or raise x_encoder.image.max_pixels.",
            )


def is_animation(path: Path) -> bool:
    """Whether a file is a GIF, WebP, AVIF or PNG of more than one frame, or a still one of the first three.

    Raises:
        OSError: The file cannot be read.
    """
    head = read_head(path)
    may_move = head.startswith((b"GIF87a", b"GIF89a")) or head[8:12] == b"WEBP" or head[4:8] == b"ftyp"
    return type_of_bytes(head) == "image" and (may_move or moves(path, head))


def is_moving(path: Path) -> bool:
    """Whether a file is a GIF, WebP, AVIF or PNG of more than one frame; False where that cannot be found out."""
    try:
        return path.is_file() and moves(path, read_head(path))  # a pipe might never begin
    except (OSError, ValueError):  # also a name that no file can have
        return False


def moves(path: str | Path, head: bytes) -> bool:
    """The same for a regular file whose head is read already.

    Args:
        path: The file.
        head: As of `read_head`.
    """
    if type_of_bytes(head) != "image" or head.startswith((b"\xff\xd8", b"BM", b"II", b"MM")):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # no pixel is decoded here
            with Image.open(path, formats=_ANIMATIONS) as image:
                if image.info.get("default_image"):  # of a PNG, and no part of its animation
                    return int(getattr(image, "n_frames", 1)) > 2
                return bool(getattr(image, "is_animated", False))
    except Exception:
        return False


def frame_files(folder: Path) -> list[Path]:
    """The images in a folder, by their content or, where that is damaged, by their ending, in natural order.

    Raises:
        OSError: The folder cannot be read.
    """
    files = [file for file in folder.iterdir() if file.is_file() and _is_image(file)]
    return sorted(files, key=lambda file: _natural(file.name))


def _is_image(file: Path) -> bool:
    try:
        return file_type(file) in ("image", "heic")
    except OSError:
        return type_by_suffix(file.suffix) in ("image", "heic")


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which numbers count as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), part) if part[0].isdigit() else (1, 0, part) for part in parts]
