"""What an index is made of: images and videos in files, and images inside of data files, as they are now."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vljepa.configs import SourceConfig
from vljepa.data.formats import DATA_FILES, HUB
from vljepa.data.records import Visual
from vljepa.data.sources import load_source
from vljepa.data.stored import Cell, Stored, TarMember
from vljepa.errors import DataError
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.exchange import holds_rows, read_header
from vljepa.inference.media import KnownFile, find_media

_DATA = (*DATA_FILES, ".tar")


@dataclass(kw_only=True)
class Files:
    """Files of an index.

    Attributes:
        folder: All are in it or below it; but for images of datasets of the hub.
        images: Sorted, and then those inside of data files in their order.
        videos: Sorted.
        stored: Images inside of data files, by their entry's path.
        others: What lies beside them and is neither, relative to the folder; not what indexes among them are made of.
        indexes: Indexes that were named, and what was exported of some.
        needs_pyav: Whether one of the videos is no animation.
        as_known: Paths of entries that are taken over as the index has them: damaged videos that are as they were.
    """

    folder: Path
    images: list[Entry] = field(default_factory=list)
    videos: list[Entry] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    indexes: list[Path] = field(default_factory=list)
    needs_pyav: bool = False
    as_known: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        """Number of images and videos."""
        return len(self.images) + len(self.videos)


def find_files(paths: str | Path | Sequence[str | Path], *, known: Mapping[str, KnownFile] | None = None) -> Files:
    """Images and videos of files, folders, patterns and data files, and indexes, each once.

    A data file is a tar, a table of the formats of training data, or a dataset of the hub (`hf:NAME:SPLIT`): its rows'
    images count, one each.

    Args:
        paths: Files, folders (with all below them), glob patterns, data files, and indexes.
        known: As of `find_media`: files that are as they were are not looked into.

    Raises:
        DataError: A path that stands for nothing, or as of `find_media` and `load_source`.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    words = [one for word in given for one in _expanded(word)]
    indexes = [Path(one).resolve() for one in words if os.path.isdir(one) and holds_rows(one)]
    for one in words:
        if str(one).lower().endswith(".npy"):
            raise DataError(
                f"{str(one)!r} does not say of which files and of which model its rows are.",
                fix="name the folder that `vljepa export INDEX OUT --format npy` has made, with all that is in it.",
            )
    data = [one for one in words if _is_data(str(one))]
    rest = [one for one in words if not _is_data(str(one)) and Path(one).resolve() not in indexes]
    media = find_media(rest, known=known, leave_out=holds_rows) if rest or not words else None
    visuals = [image for one in data for image in _images_of(str(one))]
    folders = [Path(read_header(one).folder) for one in indexes]
    folders += [] if media is None else [media.folder]
    folders += [_place(one).parent for one in visuals if _place(one).is_absolute()]
    folder = Path(os.path.commonpath(folders)) if folders else Path.cwd()
    found = Files(folder=folder, indexes=indexes)
    if media is not None:
        for files, entries in ((media.images, found.images), (media.videos, found.videos)):
            entries += [
                Entry(path=one.relative_to(folder).as_posix(), size=known.size, mtime=known.mtime)
                for one, known in ((one, media.files[str(one)]) for one in files)
            ]
        found.others = [os.path.relpath(one, folder) for one in media.others]
        found.needs_pyav = any(
            file.type == "video" and not file.unchanged for file in (media.files[str(one)] for one in media.videos)
        )
    _add_data(found, visuals)
    return found


def _add_data(found: Files, visuals: Iterable[Visual]) -> None:
    there = {one.path for one in found.images}
    for visual in visuals:
        place = _place(visual)
        name = str(visual).removeprefix(f"{found.folder}/") if place.is_absolute() else str(visual)
        if name in there:
            continue
        if ".." in Path(name).parts:  # a member of a tar
            found.others.append(name)
            continue
        there.add(name)
        try:
            status = os.stat(place)
            entry = Entry(path=name, size=status.st_size, mtime=status.st_mtime)
        except OSError:
            entry = Entry(path=name, size=0, mtime=0.0)
        found.images.append(entry)
        if isinstance(visual, TarMember | Cell):
            found.stored[name] = visual


def _expanded(word: str | Path) -> list[str | Path]:
    """The data files that a pattern stands for; anything else as it is."""
    found = [] if os.path.exists(word) else sorted(glob.glob(str(word), recursive=True))
    return [*found] if found and all(map(_is_data, found)) else [word]


def _is_data(word: str) -> bool:
    return word.startswith(HUB) or (Path(word).suffix.lower() in _DATA and os.path.isfile(word))


def _images_of(word: str) -> list[Path | Stored]:
    """Images of a data file's rows; of rows of videos and texts alone nothing."""
    place = word if word.startswith(HUB) else str(Path(word).resolve())
    source = SourceConfig(name=Path(word).name, path=place)
    records = load_source(source, texts="optional", max_skipped=1.0)
    images = [one.image for one in records if isinstance(one.image, Path | TarMember | Cell)]
    if not images:
        raise DataError(f"{word!r} has no rows with an image.", fix="check it with `vljepa data check`.")
    return images


def _place(visual: Visual) -> Path:
    """The file that an image is, or is in."""
    if isinstance(visual, TarMember):
        return visual.path
    return Path(visual.table) if isinstance(visual, Cell) else Path(str(visual))
