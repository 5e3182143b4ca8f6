"""The listing of an index: what it says about itself, and which of the files beside it belong to it.

An index is a folder. `manifest.json` names its shards and its approximate index, and is replaced at once: what it does
not name is not there. A build that is under way has its own listing, `unfinished.json`, and leaves the other alone.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vljepa.data.whole_file import replace_file
from vljepa.errors import DataError
from vljepa.inference.index.entry import Header
from vljepa.inference.index.lock import HOLDER, LOCK
from vljepa.inference.index.shard import damaged, unwritable

FORMAT = "vljepa-index"
VERSION = 5
MANIFEST, UNFINISHED, SHARDS = "manifest.json", "unfinished.json", "shards"
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[a-z]+")
_REMAKE = "make the index again with `vljepa index PATH -o INDEX`."
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Approximate:
    """An approximate index of faiss over the rows of some shards.

    Args:
        file: Its name.
        factory: What it is, in faiss' words, such as `HNSW32,SQ8`.
        shards: Their names, in the order of its ids, and how many rows each has.
        recall: Share of the 10 nearest by exact search that it finds, over held-out queries.
        queries: How many of those.
        settings: Search parameters that `recall` was measured with.
    """

    file: str
    factory: str
    shards: dict[str, int]
    recall: float
    queries: int
    settings: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What belongs to an index.

    Args:
        header: What the index says about itself.
        shards: Names of its shards, in order, and how many rows each has.
        approximate: What is searched instead of all rows; None for exact search.
    """

    header: Header
    shards: dict[str, int] = field(default_factory=dict)
    approximate: Approximate | None = None


def read_manifest(folder: Path, *, name: str = MANIFEST) -> Manifest:
    """Read the listing of an index.

    Raises:
        DataError: Not there, not an index, damaged, of another version, or never finished.
    """
    file = folder / name
    if folder.is_file():
        raise DataError(f"{str(folder)!r} is a file, and an index is a folder.", fix=_REMAKE)
    if not folder.is_dir():
        raise DataError(f"there is no index {str(folder)!r}.", fix=_REMAKE)
    if not file.is_file():
        if name == MANIFEST and (folder / UNFINISHED).is_file():
            raise DataError(
                f"the index {str(folder)!r} is not finished.", fix="run the command that began it again: it goes on."
            )
        raise DataError(
            f"{str(folder)!r} is a folder, not an index.",
            fix=f"make one of it with `vljepa index {folder} -o my.index`.",
        )
    listing = _listing(file)
    if listing.get("format") != FORMAT:
        raise DataError(f"{str(file)!r} is not the listing of an index.", fix=_REMAKE)
    if listing.get("version") != VERSION:
        raise DataError(
            f"{str(folder)!r} has index version {listing.get('version')!r}; this vljepa reads {VERSION}.", fix=_REMAKE
        )
    try:
        return Manifest(
            header=header_of_values(listing["header"]),
            shards=_shards(listing["shards"]),
            approximate=_approximate(listing["approximate"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from error


def write_manifest(folder: Path, manifest: Manifest, *, name: str = MANIFEST) -> None:
    """Replace the listing of an index.

    Raises:
        DataError: The place cannot be written.
    """
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    try:
        replace_file(folder / name, json.dumps(content, indent=1).encode())
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error


def prepare_folder(folder: Path) -> None:
    """Make room for an index, or find out that it cannot be written before an hour of embedding, not after.

    Raises:
        DataError: A file or another folder is there, or the place is not there or not writable.
    """
    check_place(folder)
    try:
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error


def check_place(folder: Path) -> None:
    """Find out whether an index may be written to a folder, and write nothing.

    Raises:
        DataError: A file or another folder is there, or the place is not there or not writable.
    """
    if folder.is_dir():
        if not is_index(folder) and not _is_hardly_begun(folder):
            raise DataError(
                f"{str(folder)!r} is there and is not an index, so nothing is written into it.",
                fix="name a new folder with -o, or remove that one first.",
            )
        place = folder
    elif os.path.lexists(folder):
        raise DataError(
            f"{str(folder)!r} is there and is not an index, so it is not overwritten.",
            fix="name a new folder with -o, or remove that file first.",
        )
    else:
        place = folder.parent
        if not place.is_dir():
            raise unwritable(folder, f"there is no folder {str(place)!r}")
    if not os.access(place, os.W_OK):
        raise unwritable(folder, f"the folder {str(place)!r} does not allow it")


def _is_hardly_begun(folder: Path) -> bool:
    """Whether a folder is empty, or one that a build was making when it was killed, with nothing of others in it."""
    ours = (SHARDS, LOCK, HOLDER)
    return all(one.name in ours or one.name.startswith(f".{UNFINISHED}.") for one in folder.iterdir()) and not any(
        (folder / SHARDS).glob("*")
    )


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, of whatever version, finished or not."""
    for name in (MANIFEST, UNFINISHED):
        if not os.path.isfile(os.path.join(folder, name)):
            continue
        try:
            if _listing(Path(folder) / name).get("format") == FORMAT:
                return True
        except DataError:
            continue
    return False


def remove_others(folder: Path, manifest: Manifest) -> None:
    """Remove the shards and approximate indexes that the listing does not name."""
    for file in (folder / SHARDS).iterdir():
        if file.name not in manifest.shards:
            file.unlink(missing_ok=True)
    for file in folder.glob("*.faiss"):
        if manifest.approximate is None or file.name != manifest.approximate.file:
            file.unlink(missing_ok=True)


def _listing(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise damaged(file, f"it is larger than {_MOST_BYTES >> 20} MB")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from error
    if not isinstance(found, dict):
        raise damaged(file, "it is no listing")
    return found


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    """A dataclass of values of the types that it says, no more and no fewer."""
    types = {one.name: one.type for one in fields(kind)}
    if set(values) != set(types):
        raise ValueError(f"{sorted(set(values) ^ set(types))}")
    wrong = [name for name, one in values.items() if type(one).__name__ != str(types[name]).partition("[")[0]]
    if wrong:
        raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
    return kind(**values)


def header_of_values(values: dict[str, Any]) -> Header:
    """A header of JSON values; KeyError, TypeError or ValueError where it cannot be right."""
    found: Header = _made(Header, values)
    if not os.path.isabs(found.folder):
        raise ValueError(f"the folder {found.folder!r} is relative")
    return found


def _shards(values: dict[str, Any]) -> dict[str, int]:
    for name, count in values.items():
        if not _NAME.fullmatch(name) or type(count) is not int or count < 1:
            raise ValueError(f"{name!r} of {count!r} rows")
    return values


def _approximate(values: dict[str, Any] | None) -> Approximate | None:
    if values is None:
        return None
    found: Approximate = _made(Approximate, values)
    _shards(found.shards)
    if not _NAME.fullmatch(found.file):
        raise ValueError(f"{found.file!r}")
    for name, effort in found.settings.items():
        if name not in ("efSearch", "nprobe") or type(effort) is not int or effort < 1:
            raise ValueError(f"{name} = {effort!r}")
    return found
