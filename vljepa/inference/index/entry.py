"""What an index knows of an image, or of a segment of a video, beside its embedding."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from hashlib import blake2b


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One indexed image, or one segment of an indexed video.

    Args:
        path: Relative to the indexed folder, with `/`.
        size: Of the file, in bytes; 0, with an `mtime` of 0, where it was not read whole or changed meanwhile.
        mtime: Of the file, in seconds since 1970.
        content: Hash of what is in the file, as of `content_id`; empty where it is not known.
        start: Of a segment, in seconds from the start of its video; None for an image, as the next two.
        end: Of a segment, not included.
        time: Of the frame that is nearest to the segment's meaning.
    """

    path: str
    size: int
    mtime: float
    content: str = ""
    start: float | None = None
    end: float | None = None
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an index says about itself.

    Args:
        model: The parts of the model that made it, for messages.
        fingerprint: Hash of that whole model.
        text_space: Hash of the text space that its rows live in.
        folder: The indexed folder.
        segments: How videos were cut: frames per second, and the Ward distance between segments.
        width: Numbers of a row.
    """

    model: str
    fingerprint: str
    text_space: str
    folder: str
    segments: str
    width: int

    @property
    def stamp(self) -> str:
        """Hash of all of it: what was embedded under another one is another thing."""
        return blake2b(json.dumps(astuple(self)).encode(), digest_size=6).hexdigest()
