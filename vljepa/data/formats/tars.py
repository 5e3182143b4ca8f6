"""WebDataset tars, as a map: one pass over the headers finds every picture's offset.

Nothing is unpacked, unpickled or run. Members that belong together share a name up to its first dot and lie side by
side: `0001.jpg`, `0001.txt` and `0001.json` are one sample. What is not a picture, a text or JSON stays unread.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vljepa.data.formats.folders import PICTURES
from vljepa.data.stored import TarMember
from vljepa.errors import DataError

TEXTS = {"txt": "text", "text": "text", "caption": "text", "query": "query", "question": "query"}
MAX_TEXT_BYTES = 1 << 20


def tar_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Samples of a tar, or of all tars of a folder by name, with their numbers from 1.

    Raises:
        DataError: A tar is compressed, damaged or cut short, or a text in it is not UTF-8 or JSON.
    """
    number = 0
    for tar in sorted(path.glob("*.tar")) if path.is_dir() else [path]:
        for row in _samples(tar):
            number += 1
            yield number, row


def _samples(tar: Path) -> Iterator[dict[str, Any]]:
    key, row = "", dict[str, Any]()
    for member in _members(tar):
        name = PurePosixPath(member.name)
        stem, _, extension = name.name.partition(".")
        extension = extension.lower()
        if str(name.parent / stem) != key:
            if row:
                yield row
            key, row = str(name.parent / stem), {}
        if f".{extension}" in PICTURES:
            row["image"] = TarMember(tar, offset=member.offset_data, size=member.size, name=member.name)
        elif extension == "json":
            row = {**_json(tar, member), **row}
        elif extension in TEXTS:
            row[TEXTS[extension]] = _text(tar, member)
    if row:
        yield row


def _members(tar: Path) -> Iterator[tarfile.TarInfo]:
    """Regular files whose bytes are all there, in their order."""
    fix = "copy it again; a compressed tar has to be uncompressed first, so that pictures can be read by their offset."
    try:
        length, reached = tar.stat().st_size, -1
        with tarfile.open(tar, "r:") as members:
            for member in members:
                # A negative size in a header would lead Python's reader back, and round and round.
                if member.size < 0 or member.offset <= reached or member.offset_data + member.size > length:
                    raise DataError(f"{str(tar)!r} is damaged or cut short at {member.name!r}.", fix=fix)
                reached = member.offset
                if member.isreg() and not member.issparse():
                    yield member
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError, MemoryError, RecursionError) as error:
        raise DataError(f"{str(tar)!r} is no readable tar: {error}.", fix=fix) from error


def _text(tar: Path, member: tarfile.TarInfo) -> str:
    where = f"{tar}/{member.name}"
    if member.size > MAX_TEXT_BYTES:
        raise DataError(f"{where} is a text of {member.size:,} bytes.", fix=f"keep it under {MAX_TEXT_BYTES:,}.")
    try:
        return TarMember(tar, member.offset_data, member.size, member.name).read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8.", fix="save it as UTF-8 text.") from error


def _json(tar: Path, member: tarfile.TarInfo) -> dict[str, Any]:
    where = f"{tar}/{member.name}"
    try:
        row = json.loads(_text(tar, member))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON.", fix="write one object.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object.", fix="write one object.")
    return {name: value for name, value in row.items() if name != "image"}  # the picture is the one in the tar
