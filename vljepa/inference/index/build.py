"""Makes an index, or brings one up to date: finds files, embeds those that are not known, settles its shards.

Each unit of work is kept as a shard of its own as soon as it is done, so that an interrupted build is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa.configs import SelectiveConfig
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder
from vljepa.inference.index.entry import Entry, Header
from vljepa.inference.index.known import KnownFiles, rebased
from vljepa.inference.index.manifest import (
    MANIFEST,
    SHARDS,
    UNFINISHED,
    Manifest,
    prepare_folder,
    read_manifest,
    remove_others,
    write_manifest,
)
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.settle import settle
from vljepa.inference.index.shard import open_table, write_table
from vljepa.inference.index.units import Skipped, Unit, embed_unit, in_units, skipped_of
from vljepa.inference.reading import Progress

if TYPE_CHECKING:
    import pyarrow as pa

Engine = Callable[[Sequence[Unit], Path | None], Iterator["pa.Table"]]
"""Embeds units, and gives their tables as they are done, in any order; keeps them in a folder, where there is one."""


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


def local(embedder: Embedder, settings: SelectiveConfig, *, progress: Progress | None = None) -> Engine:
    """Units one after the other, in this process."""

    def run(units: Sequence[Unit], folder: Path | None) -> Iterator[pa.Table]:
        for unit in units:
            table = embed_unit(unit, embedder, settings, progress=progress)
            yield table if folder is None else kept_unit(unit, table, folder)

    return run


def kept_unit(unit: Unit, table: pa.Table, folder: Path) -> pa.Table:
    """A unit's table as a shard of its own."""
    file = folder / SHARDS / unit.name
    write_table(table, file)
    return open_table(file, width=table.schema.field("row").type.list_size)


def build(
    header: Header,
    images: Sequence[Entry],
    videos: Sequence[Entry],
    *,
    engine: Engine,
    output: Path | None = None,
    known: Sequence[tuple[Header, Shards]] = (),
    again: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Embed what is not known, and settle the shards.

    Args:
        header: Of the index.
        images: As they are now.
        videos: As they are now.
        engine: What embeds units.
        output: Folder of the index, which may be there already; None keeps it in memory.
        known: Earlier indexes of this model beside the one that is there.
        again: Embed unchanged files, too.
        progress: Called with the number of files that need not be embedded.

    Raises:
        DataError: Nothing can be read, or the place cannot be written.
    """
    folder = Path(header.folder)
    tables: dict[str, pa.Table] = {}
    for number, (theirs, shards) in enumerate(known):
        tables |= {f"{number}:{name}": one for name, one in _usable(shards.tables, theirs, header).items()}
    if output is not None:
        prepare_folder(output)
        tables |= _begun(output, header, again=again)
    files = KnownFiles(Shards(tables))
    left, unchanged = files.take([*images, *videos], folder=folder)
    if progress is not None and len(left) < len(images) + len(videos):
        progress(len(images) + len(videos) - len(left))
    moving = {one.path for one in videos}
    units = in_units(
        folder, [one for one in left if one.path not in moving], [one for one in left if one.path in moving]
    )
    new = list(engine(units, output))
    skipped = sorted((one for table in new for one in skipped_of(table)), key=lambda one: one.path)
    settled = settle(files, new, store=_store(output, width=header.width))
    if not settled:
        _give_up(output)
        reason = f"; the first: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"none of the {len(images) + len(videos)} files in {str(folder)!r} can be read{reason}",
            fix="check that they are images or videos.",
        )
    manifest = Manifest(header=header, shards={name: len(one) for name, one in settled.items()})
    moved = len({(one.path, one.mtime) for one in files.moved.values()})
    return Built(manifest, settled, skipped, unchanged, moved, files.gone([*images, *videos]))


def finish(output: Path, manifest: Manifest) -> None:
    """Make a build the index, at once, and remove what no longer belongs to it."""
    write_manifest(output, manifest)
    (output / UNFINISHED).unlink(missing_ok=True)
    remove_others(output, [manifest])


def _begun(output: Path, header: Header, *, again: bool) -> dict[str, pa.Table]:
    """Shards of the index that is there, and of a build that was broken off; the listing of this one is begun."""
    tables: dict[str, pa.Table] = {}
    with suppress(DataError):
        manifest = read_manifest(output)
        if not again and _same_model(manifest.header, header):
            tables |= _usable(Shards.open(output, manifest.shards, width=header.width).tables, manifest.header, header)
    units = sorted((output / SHARDS).glob("*-unit.arrow"))
    same = False
    with suppress(DataError):
        begun = read_manifest(output, name=UNFINISHED)
        same = not again and _same_model(begun.header, header)
        for file in units if same else []:
            with suppress(DataError):
                tables |= _usable({file.name: open_table(file, width=header.width)}, begun.header, header)
    if not same:
        for file in units:
            file.unlink()
    write_manifest(output, Manifest(header=header), name=UNFINISHED)
    return tables


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


def _store(output: Path | None, *, width: int) -> Callable[[str, pa.Table], pa.Table]:
    def store(name: str, table: pa.Table) -> pa.Table:
        if output is None:
            return table
        file = output / SHARDS / name
        if not file.is_file():
            write_table(table, file)
        return open_table(file, width=width)

    return store


def _give_up(output: Path | None) -> None:
    """Leave no traces of a build in which there was nothing; an index that was there stays."""
    if output is None:
        return
    for file in (output / SHARDS).glob("*-unit.arrow"):
        file.unlink()
    (output / UNFINISHED).unlink(missing_ok=True)
    if not (output / MANIFEST).is_file():
        (output / SHARDS).rmdir()
        output.rmdir()
