"""What earlier indexes already know: files that have not changed since need not be embedded again."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vljepa.inference.embed import Rows
from vljepa.inference.index_file import Entry, IndexHeader


@dataclass(frozen=True)
class IndexPart:
    """What an index holds.

    Args:
        header: What it says about itself.
        entries: Its images and segments.
        rows: Their embeddings [N, D].
    """

    header: IndexHeader
    entries: list[Entry]
    rows: Rows


class KnownFiles:
    """Entries and rows by file.

    Args:
        parts: Earlier indexes of the same model; of a file that is in several, the last counts.
        segments: How videos are cut now, as in `IndexHeader.segments`; those that were cut otherwise are not known.
    """

    def __init__(self, parts: Iterable[IndexPart], *, segments: str) -> None:
        self._found: dict[Path, tuple[list[Entry], Rows]] = {}
        for part in parts:
            places: dict[str, list[int]] = defaultdict(list)
            for place, entry in enumerate(part.entries):
                if entry.start is None or part.header.segments == segments:
                    places[entry.path].append(place)
            for path, some in places.items():
                known = [part.entries[place] for place in some], part.rows[some]
                self._found[Path(os.path.normpath(Path(part.header.folder) / path))] = known

    def take(self, file: Path, *, now: Entry) -> tuple[list[Entry], Rows] | None:
        """Entries and rows of a file that is as it was; None when it must be read.

        Args:
            file: Which.
            now: As it is, for the index that is being made.
        """
        entries, rows = self._found.get(file, ([], np.empty(0, dtype=np.float32)))
        if not entries or not now.mtime or (now.size, now.mtime) != (entries[0].size, entries[0].mtime):
            return None
        return [replace(now, start=one.start, end=one.end, time=one.time) for one in entries], rows


def entry_of(file: Path, *, folder: Path) -> Entry:
    """Entry of a file in its folder, as it is now; without size and time where it is not there."""
    path = file.relative_to(folder).as_posix()
    try:
        status = file.stat()
    except OSError:  # removed meanwhile; that must not cost the whole index
        return Entry(path=path, size=0, mtime=0.0)
    return Entry(path=path, size=status.st_size, mtime=status.st_mtime)
