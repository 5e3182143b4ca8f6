"""One row of a source, and what it is about: an image, a clip of a video, or an image shown as a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vljepa.data.stored import Stored


@dataclass(frozen=True, slots=True)
class Clip:
    """Part of a video.

    Args:
        path: The video: a file, or a folder of frames.
        start: Seconds from the start of the video.
        end: Seconds from the start of the video; its end when None.
        frames: Frames that are read of it, T.
        backwards: The last frame first.
    """

    path: Path
    start: float
    end: float | None
    frames: int
    backwards: bool = False

    def __str__(self) -> str:
        until = "end" if self.end is None else f"{self.end:g} s"
        name = str(self.path) if (self.start, self.end) == (0, None) else f"{self.path} [{self.start:g} s to {until}]"
        return f"{name} backwards" if self.backwards else name


@dataclass(frozen=True, slots=True)
class Still:
    """An image as a clip in which nothing moves.

    Args:
        image: A file, or an image inside a larger file.
        frames: How often it is seen, T.
    """

    image: Path | Stored
    frames: int

    def __str__(self) -> str:
        return str(self.image)


Visual = Path | Stored | Clip | Still
"""What the X-Encoder sees: an image's file, an image inside a larger file, a clip, or an image as a clip."""


def frames_of(visual: Visual) -> int:
    """Frames that are seen of it, T; 1 of an image."""
    return visual.frames if isinstance(visual, Clip | Still) else 1


@dataclass(frozen=True, slots=True)
class Record:
    """An image or a clip, a question about it, and the texts that answer it.

    Args:
        image: The image or the clip; files are absolute and known to lie under their root; None for rows of text.
        texts: Right texts, at least one where the method predicts text. Training draws one per visit; retrieval counts
            all, accuracy the first.
        query: The question; empty for query-free rows.
        source_id: Identity of the image: equal ids are the same image, but see `numbered`.
        candidates: Answers to choose from, for validation by accuracy; empty when not given.
        type: Question type, for accuracy per type.
        source: Name of the source that the row comes from.
    """

    image: Visual | None
    texts: tuple[str, ...]
    query: str = ""
    source_id: str = ""
    candidates: tuple[str, ...] = ()
    type: str = ""
    source: str = ""

    @property
    def numbered(self) -> bool:
        """Whether `source_id` is a bare number: files count their images, so it means another one in another file."""
        return self.source_id.isdecimal()
