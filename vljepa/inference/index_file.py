"""The file of an index: safetensors, so that loading one from a stranger runs no code and trusts no path in it.

Two tensors, `rows` [N, D] float32 and `entries` (UTF-8 JSON as bytes: one object per row), and a small header.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np

from vljepa.data.whole_file import replace_file
from vljepa.errors import DataError
from vljepa.inference.embed import Rows

FORMAT = "vljepa-index"
VERSION = 4
_UNFINISHED = "unfinished"
_REMAKE = "make the index again with `vljepa index PATH -o FILE`."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One indexed image, or one segment of an indexed video.

    Args:
        path: Relative to the indexed folder, with `/`.
        size: Of the file, in bytes; 0, with an `mtime` of 0, where it was not read whole or changed meanwhile.
        mtime: Of the file, in seconds since 1970.
        start: Of a segment, in seconds from the start of its video; None for an image, as the next two.
        end: Of a segment, not included.
        time: Of the frame that is nearest to the segment's meaning.
    """

    path: str
    size: int
    mtime: float
    start: float | None = None
    end: float | None = None
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class IndexHeader:
    """What an index says about itself.

    Args:
        model: The parts of the model that made it, for messages.
        fingerprint: Hash of that whole model.
        text_space: Hash of the text space that its rows live in.
        folder: The indexed folder.
        segments: How videos were cut: frames per second, and the Ward distance between segments.
    """

    model: str
    fingerprint: str
    text_space: str
    folder: str
    segments: str


def check_writable(file: Path, *, unfinished: bool = False) -> None:
    """Find out that an index cannot be written before an hour of embedding, not after.

    Args:
        file: Where to.
        unfinished: It is to keep an unfinished index, and will go: only another one of those may be there.

    Raises:
        DataError: The folder is not there or not writable, or `file` is a folder or a file that is no such index.
    """
    folder = file.parent
    if file.is_dir():
        raise _unwritable(file, "it is a folder")
    if unfinished and os.path.lexists(file) and not _is_unfinished(file):
        raise DataError(
            f"{str(file)!r} is there and was not left by an index that was broken off, so it is not overwritten.",
            fix="move it away, or name another index with -o.",
        )
    if file.exists() and not _replaceable(file):
        raise DataError(
            f"{str(file)!r} is there and is not an index, so it is not overwritten.",
            fix="name a new file with -o, or remove that one first.",
        )
    if not folder.is_dir():
        raise _unwritable(file, f"there is no folder {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise _unwritable(file, f"the folder {str(folder)!r} does not allow it")


def remove_unfinished(file: Path) -> None:
    """Remove an unfinished index, where one is; any other file stays."""
    if _is_unfinished(file):
        file.unlink()


def write_index(file: Path, *, header: IndexHeader, entries: list[Entry], rows: Rows, unfinished: bool = False) -> None:
    """Write an index; the file is complete or not there.

    Args:
        file: Where to.
        header: What it says about itself.
        entries: Its images and segments.
        rows: Their embeddings [N, D].
        unfinished: Mark it as one that a build has left on its way.

    Raises:
        DataError: The place cannot be written, or a file that is no index is there.
    """
    from safetensors.numpy import save

    check_writable(file)
    listing = json.dumps([asdict(entry) for entry in entries], ensure_ascii=False).encode("utf-8", "surrogateescape")
    mark = {_UNFINISHED: "yes"} if unfinished else {}
    content = save(
        {"rows": np.ascontiguousarray(rows), "entries": np.frombuffer(listing, dtype=np.uint8)},
        metadata={"format": FORMAT, "version": str(VERSION), **asdict(header), **mark},
    )
    try:
        replace_file(file, content)
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from error


def read_index(file: Path) -> tuple[IndexHeader, list[Entry], Rows]:
    """Read and check an index.

    Raises:
        DataError: Not there, not an index, cut short, of another version, or with entries that cannot be right.
    """
    from safetensors import SafetensorError, safe_open

    if Path(file).is_dir():
        raise DataError(
            f"{str(file)!r} is a folder, not an index.", fix=f"make one of it with `vljepa index {file} -o my.index`."
        )
    try:
        with safe_open(file, framework="numpy") as stream:
            header = _header(file, stream.metadata() or {})
            entries = _entries(file, stream.get_tensor("entries"))
            rows = stream.get_tensor("rows")
    except FileNotFoundError:
        raise DataError(f"there is no index {str(file)!r}.", fix=_REMAKE) from None
    except (OSError, SafetensorError) as error:
        raise DataError(f"{str(file)!r} is not an index, or is cut short: {error}.", fix=_REMAKE) from error
    if rows.dtype != np.float32 or rows.ndim != 2 or len(rows) != len(entries) or not np.isfinite(rows).all():
        raise _damaged(file, f"{len(entries)} entries beside rows of shape {rows.shape} and type {rows.dtype}")
    return header, entries, rows


def _header(file: Path, metadata: dict[str, str]) -> IndexHeader:
    if metadata.get("format") != FORMAT:
        raise DataError(f"{str(file)!r} is a safetensors file, but not an index.", fix=_REMAKE)
    if metadata.get("version") != str(VERSION):
        raise DataError(
            f"{str(file)!r} has index version {metadata.get('version')!r}; this vljepa reads {VERSION}.", fix=_REMAKE
        )
    try:
        return IndexHeader(**{field.name: metadata[field.name] for field in fields(IndexHeader)})
    except KeyError as error:
        raise _damaged(file, f"the header lacks {error}") from error


def _entries(file: Path, listing: Any) -> list[Entry]:
    try:
        raw = json.loads(listing.tobytes().decode("utf-8", "surrogateescape"))
        entries = [_entry(row) for row in raw]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _damaged(file, f"the listing of files is not readable ({type(error).__name__})") from error
    for entry in entries:
        if any(path.anchor or ".." in path.parts for path in (PurePosixPath(entry.path), PurePath(entry.path))):
            raise _damaged(file, f"the path {entry.path!r} leaves the indexed folder")
    return entries


def _entry(row: dict[str, Any]) -> Entry:
    """One row of the listing.

    Raises:
        ValueError: Something in it cannot be right; also TypeError, KeyError and OverflowError.
    """
    times = {name: row[name] for name in ("start", "end", "time")}
    if set(times.values()) != {None}:
        times = {name: float(value) for name, value in times.items()}
        if not 0 <= times["start"] <= times["time"] < times["end"] < math.inf:
            raise ValueError("a segment that ends before it begins")
    return Entry(path=str(row["path"]), size=int(row["size"]), mtime=float(row["mtime"]), **times)


def _replaceable(file: Path) -> bool:
    """Whether a file may be overwritten: it is empty, or an index of any version."""
    try:
        if file.is_file() and file.stat().st_size == 0:
            return True
    except OSError:
        return False
    return _metadata(file).get("format") == FORMAT


def _is_unfinished(file: Path) -> bool:
    metadata = _metadata(file)
    return metadata.get("format") == FORMAT and _UNFINISHED in metadata


def _metadata(file: Path) -> dict[str, str]:
    """What a file says about itself; nothing, when it is not there, not regular, or no safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.is_file():
            with safe_open(file, framework="numpy") as stream:
                return stream.metadata() or {}
    except (OSError, SafetensorError):
        pass
    return {}


def _unwritable(file: Path, why: str) -> DataError:
    return DataError(
        f"the index cannot be written to {str(file)!r}: {why}.",
        fix="name a file in an existing folder with room and write permission.",
    )


def _damaged(file: Path, what: str) -> DataError:
    return DataError(f"{str(file)!r} is not a sound index: {what}.", fix=_REMAKE)
