"""Among which files of an index the nearest are looked for.

Shapes: N entries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError
from vljepa.inference.index.rows import Shards

_PIECES = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Among:
    """What a file must be like to be found; all that is given must hold.

    Args:
        include: Names of files and folders, or with a slash paths below the index's folder; all may be patterns with
            `*`, `?` and `[...]`. One of them must match the file or a folder that it is in.
        exclude: The same, of which none may match.
        since: Files last changed at this time or later.
        until: Files last changed before this time.
        media: `images` or `videos`; None for both.
        only: For what the others cannot say: whether a path, below the index's folder, may be found.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    media: str | None = None
    only: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.media not in (None, "images", "videos"):
            raise ConfigError(f"media is {self.media!r}.", fix="ask for 'images' or 'videos'.")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Among()

    def mask(self, entries: Shards) -> NDArray[np.bool_]:
        """Which entries may be found, [N]."""
        import pyarrow.compute as pc

        found = np.ones(len(entries), dtype=bool)
        paths = entries.column("path")
        if self.include:
            found &= _matches(paths, self.include)
        if self.exclude:
            found &= ~_matches(paths, self.exclude)
        if self.since is not None or self.until is not None:
            mtime = entries.column("mtime").to_numpy()
            found &= mtime != 0  # not known
            if self.since is not None:
                found &= mtime >= self.since.timestamp()
            if self.until is not None:
                found &= mtime < self.until.timestamp()
        if self.media is not None:
            images = pc.is_null(entries.column("start")).to_numpy()
            found &= images if self.media == "images" else ~images
        if self.only is not None:
            unique, places = _unique(paths)
            found &= np.array([self.only(os.fsdecode(one)) for one in unique], dtype=bool)[places]
        return found


def _matches(paths: object, patterns: Sequence[str]) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    found = pc.match_substring_regex(paths, _regex(patterns))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def _regex(patterns: Sequence[str]) -> bytes:
    """Of names anywhere in a path, and of paths from the indexed folder on; each with all below it."""
    parts = []
    for pattern in patterns:
        pattern = pattern.strip("/")
        whole = b"".join(_piece(os.fsencode(one)) for one in _PIECES.findall(pattern))
        parts.append((b"^" if "/" in pattern else b"(?:^|/)") + whole + b"(?:/|$)")
    return b"|".join(parts)


def _piece(pattern: bytes) -> bytes:
    """One star, set or character of a pattern, for bytes of UTF-8: a character is a first byte and what follows it."""
    if pattern == b"*":
        return b"[^/]*"
    if pattern == b"?":
        return b"(?:[^/\\x80-\\xbf][\\x80-\\xbf]*)"
    if len(pattern) < 3 or not pattern.startswith(b"["):
        return re.escape(pattern)
    inner = pattern[1:-1].replace(b"\\", b"\\\\").replace(b"[", b"\\[")
    if inner.startswith(b"!"):
        return b"(?:[^/\\x80-\\xbf" + inner[1:] + b"][\\x80-\\xbf]*)"
    return b"[" + inner + b"]"


def _unique(paths: object) -> tuple[list[bytes], NDArray[np.intp]]:
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(paths).combine_chunks()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()
