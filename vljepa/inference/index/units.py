"""A unit of work: some images, or a video, to a table of their entries and embeddings. It leans on nothing else.

It is what a process, a rank or a machine is given; what comes out depends on the files and the model alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vljepa.configs import SelectiveConfig
from vljepa.data.stored import Stored
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder
from vljepa.inference.embedded import Rows
from vljepa.inference.index.content import content_id
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.frame_parts import FrameParts
from vljepa.inference.index.shard import table_of
from vljepa.inference.reading import Progress
from vljepa.inference.segments import read_segments

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES = 512
"""Images of a unit: what a run that is killed loses at most, for each process; of videos it is 512 frames."""
_SKIPPED = b"skipped"


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


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Files to be embedded together: images, or one video.

    Args:
        folder: Of the index.
        entries: The files as they were found, in order.
        video: Whether it is a video.
        stamp: Of the index: a hash of all that it says about itself.
        stored: Of images inside of data files, where they are, by path.
    """

    folder: Path
    entries: tuple[Entry, ...]
    video: bool
    stamp: str = ""
    stored: Mapping[str, Stored] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its shard: a hash of which files these are."""
        listing = json.dumps([[one.path, one.size, one.mtime] for one in self.entries])
        return f"{self.stamp}-{blake2b(listing.encode(), digest_size=12).hexdigest()}-unit.arrow"

    def file(self, entry: Entry) -> Path:
        """Where a file of it is."""
        return self.folder / entry.path


def in_units(
    folder: Path, images: Sequence[Entry], videos: Sequence[Entry], stored: Mapping[str, Stored], *, stamp: str
) -> list[Unit]:
    """Files in the order in which they are embedded."""
    chunks = [tuple(images[start : start + IMAGES]) for start in range(0, len(images), IMAGES)]
    within = [{one.path: stored[one.path] for one in chunk if one.path in stored} for chunk in chunks]
    return [
        *(
            Unit(folder=folder, entries=one, video=False, stamp=stamp, stored=two)
            for one, two in zip(chunks, within, strict=True)
        ),
        *(Unit(folder=folder, entries=(one,), video=True, stamp=stamp) for one in videos),
    ]


def embed_unit(
    unit: Unit,
    embedder: Embedder,
    settings: SelectiveConfig,
    *,
    shards: Path | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Entries and embeddings of a unit's files; with it travels which could not be read (`skipped_of`).

    Args:
        unit: Which files.
        embedder: Model and processor.
        settings: How videos are cut.
        shards: Folder in which a long video's frames are kept piece by piece, until the unit is.
        progress: Called with the number of files done since the last call.
    """
    width = embedder.model.config.embed_dim
    if unit.video:
        parts = None if shards is None else FrameParts(shards, unit.name, width=width)
        entries, rows, skipped = _video(unit, embedder, settings, parts=parts, progress=progress)
    else:
        entries, rows, skipped = _images(unit, embedder, progress=progress)
    table = table_of(entries, np.concatenate(rows) if rows else np.empty((0, width), dtype=np.float32))
    return table.replace_schema_metadata({_SKIPPED: json.dumps([asdict(one) for one in skipped])})


def skipped_of(table: pa.Table) -> list[Skipped]:
    """Files of a unit that could not be read, or only in part."""
    found = json.loads((table.schema.metadata or {}).get(_SKIPPED, b"[]"))
    return [Skipped(path=str(one["path"]), reason=str(one["reason"]), partly=bool(one["partly"])) for one in found]


_Found = tuple[list[Entry], list[Rows], list[Skipped]]


def _images(unit: Unit, embedder: Embedder, *, progress: Progress | None) -> _Found:
    of_image: dict[Any, Entry] = {unit.stored.get(entry.path, unit.file(entry)): entry for entry in unit.entries}
    entries: list[Entry] = []
    rows: list[Rows] = []
    skipped: list[Skipped] = []

    def skip(image: Any, error: DataError) -> None:
        skipped.append(Skipped(path=of_image[image].path, reason=error.message))

    for kept, some in embedder.batches(list(of_image), progress=progress, on_broken=skip):
        entries += [_as_it_is(unit, of_image[image]) for image in kept]
        rows.append(some)
    return entries, rows, skipped


def _video(
    unit: Unit, embedder: Embedder, settings: SelectiveConfig, *, parts: FrameParts | None, progress: Progress | None
) -> _Found:
    [entry] = unit.entries
    segments, failure = read_segments(unit.file(entry), embedder, config=settings, parts=parts)
    whole = _as_it_is(unit, entry) if failure is None else unread(entry)
    if progress is not None:
        progress(1)
    return (
        [replace(whole, start=one.start, end=one.end, time=one.time) for one in segments],
        [one.row_D[None] for one in segments],
        [] if failure is None else [Skipped(path=entry.path, reason=failure.message, partly=bool(segments))],
    )


def _as_it_is(unit: Unit, entry: Entry) -> Entry:
    """Entry of a file that has been read; without size and time, so that it is read again, where it has changed."""
    if entry.path in unit.stored:
        return entry  # of its data file is looked at alone, when it is looked for
    file = unit.file(entry)
    content = content_id(file, size=entry.size)
    if entry_of(file, folder=unit.folder) != entry:
        return unread(entry)
    return replace(entry, content=content)


def unread(entry: Entry) -> Entry:
    """Entry of a file that is to be read again next time."""
    return Entry(path=entry.path, size=0, mtime=0.0)


def entry_of(file: Path, *, folder: Path) -> Entry:
    """Entry of a file in its folder, as it is now; without size and time where it is not there."""
    path = file.relative_to(folder).as_posix()
    try:
        status = os.stat(file)
    except OSError:  # removed meanwhile; that must not cost the whole index
        return Entry(path=path, size=0, mtime=0.0)
    return Entry(path=path, size=status.st_size, mtime=status.st_mtime)
