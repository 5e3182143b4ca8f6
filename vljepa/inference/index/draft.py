"""From files to the entries and rows of an index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vljepa.configs import SelectiveConfig
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.index_file import Entry
from vljepa.inference.known_files import KnownFiles, entry_of
from vljepa.inference.media import Media
from vljepa.inference.reading import Progress
from vljepa.inference.segments import read_segments
from vljepa.processing.processor import ImageInput


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """One file that could not be indexed, or not all of it.

    Args:
        path: Relative to the index's folder.
        reason: Why, in a sentence.
        partly: A damaged video of which the segments that could be read are in the index.
    """

    path: str
    reason: str
    partly: bool = False


class Draft:
    """An index that is being made. What is known is in it from the start.

    Args:
        media: The files that it is to hold.
        known: What earlier indexes hold.

    Attributes:
        skipped: Files that could not be read, or only in part.
        passed_over: Files that are neither images nor videos, relative to the index's folder.
        unchanged: How many files were known.
    """

    def __init__(self, media: Media, *, known: KnownFiles) -> None:
        self.skipped: list[Skipped] = []
        self.passed_over = [os.path.relpath(one, media.folder) for one in media.others]
        self._folder = media.folder
        # One list, so that a signal finds entries and rows of the same length at any time.
        self._found: list[tuple[list[Entry], Rows]] = []
        self._before: dict[Path, Entry] = {}
        self._images = [one for one in media.images if not self._take(one, known)]
        self._videos = [one for one in media.videos if not self._take(one, known)]
        self.unchanged = len(media) - len(self._images) - len(self._videos)

    def __bool__(self) -> bool:
        """Whether there is anything in it so far."""
        return bool(self._found)

    def embed(self, embedder: Embedder, settings: SelectiveConfig, *, progress: Progress | None) -> Iterator[None]:
        """Embed the other files, and stop for a moment whenever some more are in.

        Args:
            embedder: Model and processor.
            settings: How videos are cut.
            progress: Called with the number of files done since the last call.
        """
        if progress is not None and self.unchanged:
            progress(self.unchanged)
        for kept, rows in embedder.batches(self._images, progress=progress, on_broken=self._skip):
            self._found.append(([self._entry(Path(str(image))) for image in kept], rows))
            yield
        for video in self._videos:
            segments, failure = read_segments(video, embedder, config=settings)
            if failure is not None:
                self._skip(video, failure, partly=bool(segments))
            if segments:
                entry = self._entry(video, whole=failure is None)
                entries = [replace(entry, start=one.start, end=one.end, time=one.time) for one in segments]
                self._found.append((entries, np.stack([one.row_D for one in segments])))
            if progress is not None:
                progress(1)
            yield

    def sorted(self) -> dict[str, Any]:
        """What `Index` takes, by path; the segments of a video stay in the order of time."""
        entries = [entry for some, _ in self._found for entry in some]
        order = sorted(range(len(entries)), key=lambda place: entries[place].path)
        return {
            "entries": [entries[place] for place in order],
            "rows": np.concatenate([rows for _, rows in self._found])[order],
            "skipped": sorted(self.skipped, key=lambda one: one.path),
            "passed_over": self.passed_over,
            "unchanged": self.unchanged,
        }

    def _take(self, file: Path, known: KnownFiles) -> bool:
        now = entry_of(file, folder=self._folder)
        found = known.take(file, now=now)
        if found is None:
            self._before[file] = now
            return False
        self._found.append(found)
        return True

    def _entry(self, file: Path, *, whole: bool = True) -> Entry:
        """Entry of a file that has been read; without size and time, so that it is read again, where it has changed."""
        before = self._before[file]
        if whole and entry_of(file, folder=self._folder) == before:
            return before
        return Entry(path=before.path, size=0, mtime=0.0)

    def _skip(self, file: ImageInput, error: DataError, *, partly: bool = False) -> None:
        path = entry_of(Path(str(file)), folder=self._folder).path
        self.skipped.append(Skipped(path=path, reason=error.message, partly=partly))
