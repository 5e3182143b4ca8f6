"""Makes an index, or brings one up to date: finds files, embeds those that are not known, settles its shards.

Each unit of work is kept as a shard of its own as soon as it is done, so that an interrupted build is gone on with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa.data.long_work import long_work
from vljepa.data.processes import from_all_processes
from vljepa.errors import DataError
from vljepa.inference.index.engines import Engine
from vljepa.inference.index.entry import Header
from vljepa.inference.index.files import Files
from vljepa.inference.index.frame_parts import remove_parts
from vljepa.inference.index.known import KnownFiles, rebased
from vljepa.inference.index.lock import HOLDER, LOCK
from vljepa.inference.index.manifest import (
    MANIFEST,
    SHARDS,
    UNFINISHED,
    Manifest,
    read_manifest,
    remove_others,
    write_manifest,
)
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.same_model import check_same_model
from vljepa.inference.index.settle import Store, settle
from vljepa.inference.index.shard import open_table, write_table
from vljepa.inference.index.units import Skipped, Unit, in_units, skipped_of
from vljepa.inference.media import KnownFile
from vljepa.inference.reading import Progress

if TYPE_CHECKING:
    import pyarrow as pa


_PLANNING = "planning the index"


@dataclass
class Built:
    """What a build has made, beside the index.

    Attributes:
        manifest: Of the index.
        tables: Its shards.
        skipped: Files that could not be read, or only in part.
        unchanged: How many files were taken over as they were.
        moved: How many files were known under another name or time.
        gone: How many files of the index that was there before it no longer has.
    """

    manifest: Manifest
    tables: dict[str, pa.Table]
    skipped: list[Skipped] = field(default_factory=list)
    unchanged: int = 0
    moved: int = 0
    gone: int = 0


def build(
    header: Header,
    found: Files,
    *,
    engine: Engine,
    output: Path | None = None,
    known: Sequence[tuple[Header, Shards]] = (),
    merged: Sequence[tuple[Header, Shards]] = (),
    again: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Embed what is not known, and settle the shards.

    Args:
        header: Of the index.
        found: The files that it is to hold.
        engine: What embeds units.
        output: Folder of the index, prepared; None keeps it in memory.
        known: Earlier indexes of this model beside the one that is there.
        merged: Indexes all of which it is to hold, too, whether or not their files are there.
        again: Embed unchanged files, too.
        progress: Called with the number of files that need not be embedded.

    Raises:
        DataError: Nothing can be read, or the place cannot be written.
        TextSpaceError: One of `known` or `merged` was made by another model.
    """
    with long_work(_PLANNING) if output is not None else nullcontext():
        files, units, unchanged = _plan(header, found, output=output, known=known, merged=merged, again=again)
    if output is not None:
        from_all_processes(units)
    done = len(found) - sum(len(unit.entries) for unit in units)
    if progress is not None and done:
        progress(done)
    skipped: list[Skipped] = []

    def embedded() -> Iterator[pa.Table]:
        for table in engine(units, output):
            skipped.extend(skipped_of(table))
            yield table

    settled = settle(files, embedded(), store=kept_in(output, width=header.width))
    skipped.sort(key=lambda one: one.path)
    if not settled:
        _give_up(output)
        reason = f"; the first: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"none of the {len(found)} files in {header.folder!r} can be read{reason}",
            fix="check that they are images or videos.",
        )
    manifest = Manifest(header=header, shards={name: len(one) for name, one in settled.items()})
    moved = len({(one.path, one.mtime) for one in files.moved.values()})
    return Built(manifest, settled, skipped, unchanged, moved, files.gone([*found.images, *found.videos]))


def _plan(
    header: Header,
    found: Files,
    *,
    output: Path | None,
    known: Sequence[tuple[Header, Shards]],
    merged: Sequence[tuple[Header, Shards]],
    again: bool,
) -> tuple[KnownFiles, list[Unit], int]:
    """What is known, what is to be embedded, and how many files are as they were."""
    folder = Path(header.folder)
    tables: dict[str, pa.Table] = {}
    for number, (theirs, shards) in enumerate(known):
        check_same_model("an index of `known`", theirs, header)
        tables |= {f"{number}:{name}": one for name, one in _usable(shards.tables, theirs, header).items()}
    if output is not None:
        tables |= _begun(output, header, again=again)
    for number, (theirs, shards) in enumerate(merged):
        check_same_model(f"the index of {theirs.folder!r}", theirs, header)
        _check_segments(theirs, header, shards)
        tables |= {f"+{number}:{name}": one for name, one in _usable(shards.tables, theirs, header).items()}
    files = KnownFiles(Shards(tables), merged=[name for name in tables if name.startswith("+")])
    left, unchanged = files.take([*found.images, *found.videos], folder=folder, as_known=found.as_known)
    moving = {one.path for one in found.videos}
    images, videos = ([one for one in left if (one.path in moving) is video] for video in (False, True))
    return files, in_units(folder, images, videos, found.stored, stamp=header.stamp), unchanged


def help_build(engine: Engine, output: Path) -> None:
    """What a process that is not the first does in a build: the units that the first gives it."""
    with long_work(_PLANNING):
        pass  # a collective would give up on a first process that looks at very many files
    units: list[Unit] = from_all_processes([])[0]
    for _ in engine(units, output):
        pass  # only the first reads what all have made


def known_media(output: Path) -> dict[str, KnownFile]:
    """Files of the index that is there, by their path: those that are as they were need not be looked into."""
    try:
        manifest = read_manifest(output)
    except DataError:
        return {}
    shards = Shards.sound(output, manifest.shards, width=manifest.header.width)
    if not len(shards):
        return {}
    folder = os.fsencode(manifest.header.folder) + b"/"
    columns = (shards.column(name).to_pylist() for name in ("path", "size", "mtime", "start"))
    return {
        os.fsdecode(folder + path): KnownFile(size, mtime, start is not None)
        for path, size, mtime, start in zip(*columns, strict=True)
    }


def finish(output: Path, manifest: Manifest) -> None:
    """Make a build the index, at once, and remove what no longer belongs to it."""
    write_manifest(output, manifest)
    (output / UNFINISHED).unlink(missing_ok=True)
    remove_others(output, manifest)


def _begun(output: Path, header: Header, *, again: bool) -> dict[str, pa.Table]:
    """Shards of the index that is there, and of a build that was broken off; the listing of this one is begun."""
    tables: dict[str, pa.Table] = {}
    with suppress(DataError):
        manifest = read_manifest(output)
        if not again and _same_model(manifest.header, header):
            tables |= _usable(Shards.sound(output, manifest.shards, width=header.width).tables, manifest.header, header)
    for file in sorted((output / SHARDS).glob("*-unit.arrow")):
        if again or not file.name.startswith(header.stamp):
            file.unlink()
            continue
        try:
            tables[file.name] = open_table(file, width=header.width)
        except DataError:  # so that nobody takes it for done
            file.unlink()
    remove_parts(output / SHARDS, but=None if again else header.stamp)
    write_manifest(output, Manifest(header=header), name=UNFINISHED)
    return tables


def _check_segments(theirs: Header, ours: Header, shards: Shards) -> None:
    if theirs.segments != ours.segments and shards.count_media().segments:
        raise DataError(
            f"an index to be merged has videos that were cut otherwise ({theirs.segments}; now {ours.segments}).",
            fix="merge with the --threshold that it was made with.",
        )


def _same_model(theirs: Header, ours: Header) -> bool:
    return (theirs.fingerprint, theirs.text_space, theirs.width) == (ours.fingerprint, ours.text_space, ours.width)


def _usable(tables: dict[str, pa.Table], theirs: Header, ours: Header) -> dict[str, pa.Table]:
    """Shards as files below our folder; of videos that were cut otherwise nothing."""
    import pyarrow.compute as pc

    found = {}
    for name, table in tables.items():
        if theirs.segments != ours.segments and table["start"].null_count < len(table):
            table, name = table.filter(pc.is_null(table["start"])), f"images of {name}"
        if theirs.folder != ours.folder:
            table, name = rebased(table, Path(theirs.folder), Path(ours.folder)), f"moved {name}"
        found[name] = table
    return found


def kept_in(output: Path | None, *, width: int) -> Store:
    """Keeps shards in an index's folder, or in memory where there is none."""

    def store(name: str, table: pa.Table) -> pa.Table:
        if output is None:
            return table
        file = output / SHARDS / name
        if file.is_file():
            with suppress(DataError):  # of the same name, but damaged
                return open_table(file, width=width)
        write_table(table, file)
        return open_table(file, width=width)

    return store


def _give_up(output: Path | None) -> None:
    """Leave no traces of a build in which there was nothing; an index that was there stays."""
    if output is None:
        return
    for file in (output / SHARDS).glob("*-unit.arrow"):
        file.unlink()
    remove_parts(output / SHARDS)
    (output / UNFINISHED).unlink(missing_ok=True)
    if not (output / MANIFEST).is_file():
        with suppress(OSError):  # something else is there, too
            (output / SHARDS).rmdir()
            for name in (HOLDER, LOCK):
                (output / name).unlink(missing_ok=True)
            output.rmdir()
