"""WebDataset tars, as a map: one pass over the headers finds every image's offset.

Nothing is unpacked, unpickled or run. Members that belong together share a folder and a name up to its first dot:
`0001.jpg`, `0001.txt` and `0001.json` are one sample. A name may have dots of its own: `a.b.jpg` and `a.b.txt`, an
image and its text, are a sample by themselves. What is not an image, a text or JSON stays unread.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vljepa.data.formats.registry import Fault, Format, Found, Item, Numbered, Row
from vljepa.data.formats.walking import IMAGES, is_left_behind, names_in
from vljepa.data.stored import TarMember
from vljepa.errors import DataError

TEXTS = {"txt": "text", "text": "text", "caption": "text", "query": "query", "question": "query"}
MAX_TEXT_BYTES = 1 << 20
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

Members = list[tarfile.TarInfo]


def recognises(place: Path, split: str | None) -> Found | None:
    """A tar, or a folder with tars.

    Raises:
        DataError: A tar whose name says that it is compressed.
    """
    if place.is_file() and place.name.lower().endswith(_COMPRESSED):
        raise DataError(
            f"{str(place)!r} is compressed: its images cannot be read by their offset.",
            fix="uncompress it to a .tar; images are compressed already.",
        )
    if place.is_file() and place.suffix.lower() == ".tar":
        return Found("tars", place, split=split)
    return Found("tars", place, split=split) if place.is_dir() and _tars(place) else None


def tar_rows(found: Found) -> Numbered:
    """Samples of a tar, or of all tars of a folder by name, with their numbers from 1.

    Raises:
        DataError: A tar is compressed, damaged or cut short, or a text in it is not UTF-8 or JSON.
    """
    number = 0
    for tar in _tars(found.path) if found.path.is_dir() else [found.path]:
        for members in _samples(tar):
            number += 1
            yield number, _row(tar, members)


def _tars(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if name.lower().endswith(".tar")]


def _samples(tar: Path) -> Iterator[Members]:
    """Members of each sample, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Members]] = {}
    for member in _members(tar):
        name = PurePosixPath(member.name)
        if any(is_left_behind(part) for part in name.parts if part not in (".", "..")):
            continue
        samples = groups.setdefault((str(name.parent), name.name.partition(".")[0]), [[]])
        if any(member.name == other.name for other in samples[-1]):  # tars that were put together begin anew
            samples.append([])
        samples[-1].append(member)
    for members in (sample for samples in groups.values() for sample in samples):
        yield from _by_dots(members)


def _by_dots(members: Members) -> list[Members]:
    """Samples of what shares a name up to its first dot: a dot is one of the name where an image has its text so."""
    by_name: dict[str, Members] = {}
    for member in members:
        by_name.setdefault(member.name.rpartition(".")[0], []).append(member)
    whole = [some for some in by_name.values() if any(map(_is_image, some)) and any(map(_is_text, some))]
    rest = [member for member in members if not any(member in some for some in whole)]
    if whole or any(_is_image(member) for member in rest if "." not in _rest(member)):
        rest = [member for member in rest if "." not in _rest(member)]  # others are parts, such as `0001.mask.png`
    left = any(_is_image(member) or (_is_text(member) and not whole) for member in rest)
    return [*whole, *([rest] if left else [])]


def _is_image(member: tarfile.TarInfo) -> bool:
    return f".{_last(member)}" in IMAGES


def _is_text(member: tarfile.TarInfo) -> bool:
    return _last(member) in TEXTS or _last(member) == "json"


def _rest(member: tarfile.TarInfo) -> str:
    """All that follows the first dot of a member's name, in lower case."""
    return PurePosixPath(member.name).name.partition(".")[2].lower()


def _last(member: tarfile.TarInfo) -> str:
    return _rest(member).rpartition(".")[2]


def _row(tar: Path, members: Sequence[tarfile.TarInfo]) -> Item:
    row: Row = {}
    named: dict[str, str] = {}
    for member in members:
        last = _last(member)
        column = "image" if _is_image(member) else TEXTS.get(last)
        if last == "json":
            row = {**_json(tar, member), **row}
        if column is None:
            continue
        if column in named:
            return Fault(f"{named[column]} and {member.name} are one sample by their names: two of {column}")
        named[column] = member.name
        row[column] = (
            TarMember(tar, offset=member.offset_data, size=member.size, name=member.name)
            if column == "image"
            else _text(tar, member)
        )
    return row


def _members(tar: Path) -> Iterator[tarfile.TarInfo]:
    """Regular files whose bytes are all there, in their order."""
    fix = "copy it again; a compressed tar has to be uncompressed first, so that images can be read by their offset."
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
    return {name: value for name, value in row.items() if name != "image"}  # the image is the one in the tar


TARS = Format("tars", recognises, tar_rows)
