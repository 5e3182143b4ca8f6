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

_WIDEST = 1000
"""Characters of a range that is not of ASCII."""
_PIECES = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Among:
    """What a file must be like to be found; all that is given must hold. A pattern that is none is a ConfigError.

    Args:
        include: Names of files and folders, or with a slash paths below the index's folder; all may be patterns with
            `*`, `?` and `[...]` (`[a-z]`, `[!a-z]`). One of them must match the file or a folder that it is in.
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

    found = pc.match_substring_regex(paths, b"|".join(map(_regex, patterns)))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def _regex(pattern: str) -> bytes:
    """Of a name anywhere in a path, or of a path from the indexed folder on; each with all below it."""
    pattern = pattern.strip("/")
    whole = b"".join(_piece(one, pattern) for one in _PIECES.findall(pattern))
    return (b"^" if "/" in pattern else b"(?:^|/)") + whole + b"(?:/|$)"


def _piece(piece: str, pattern: str) -> bytes:
    """One star, set or character of a pattern, for bytes of UTF-8: a character is a first byte and what follows it."""
    if piece == "*":
        return b"[^/]*"
    if piece == "?":
        return b"(?:[^/\\x80-\\xbf][\\x80-\\xbf]*)"
    if len(piece) < 3 or piece == "[!]":
        return re.escape(os.fsencode(piece))
    negated = piece.startswith("[!")
    plain, others = _members(piece[2 if negated else 1 : -1], pattern)
    if not negated:
        return b"(?:" + b"|".join([b"[\\x00" + plain + b"]", *others]) + b")"  # no path has a NUL
    if others:
        raise ConfigError(
            f"the pattern {pattern!r} leaves out {piece[2:-1]!r}, and only characters of ASCII can be.",
            fix="write ? instead, or give two patterns.",
        )
    return b"(?:[^/\\x80-\\xbf" + plain + b"][\\x80-\\xbf]*)"


def _members(inner: str, pattern: str) -> tuple[bytes, list[bytes]]:
    """A set's characters of ASCII as a class has them, and all others one by one; a slash is in no set."""
    plain, others = b"", list[bytes]()
    while inner:
        is_range = inner[1:2] == "-" and len(inner) > 2
        first, last, inner = (inner[0], inner[2], inner[3:]) if is_range else (inner[0], inner[0], inner[1:])
        if not 0 <= ord(last) - ord(first) <= _WIDEST:
            what = "ends before it begins" if first > last else f"has more than {_WIDEST} characters"
            raise ConfigError(
                f"the pattern {pattern!r} has the range {first}-{last}, which {what}.",
                fix="give a range such as a-z, or write ? or * instead.",
            )
        for code in range(ord(first), ord(last) + 1):
            if code >= 128:
                others.append(os.fsencode(chr(code)))
            elif chr(code) != "/":
                plain += re.escape(bytes([code]))
    return plain, others


def _unique(paths: object) -> tuple[list[bytes], NDArray[np.intp]]:
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(paths).combine_chunks()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()
