"""What an image or clip is known by, wherever it lies: a hash of its bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vljepa.data.records import Clip, Record, Still, Visual
from vljepa.data.stored import Stored
from vljepa.processing.image_sequence import frame_files


def content_of(visual: Visual, hashes: dict[Path, str]) -> str:
    """Hash of an image's file, or of a clip's video together with its times and frames, or of an image with theirs.

    Args:
        visual: What to hash.
        hashes: Those of files so far, kept here: many clips are cut from one video.

    Raises:
        OSError: The file cannot be read.
        ImageError: An image inside a larger file cannot be read.
    """
    if isinstance(visual, Still):
        return f"{content_of(visual.image, hashes)}x{visual.frames}"
    if isinstance(visual, Stored):
        return hashlib.blake2b(visual.read(), digest_size=16).hexdigest()
    path = visual.path if isinstance(visual, Clip) else visual
    if path not in hashes:
        hashes[path] = _folder_hash(path) if path.is_dir() else _file_hash(path)
    if isinstance(visual, Clip):
        name = f"{hashes[path]}@{visual.start!r}-{visual.end!r}x{visual.frames}"
        return f"{name}r" if visual.backwards else name
    return hashes[path]


def repeated_contents(contents: Mapping[Visual, str]) -> dict[Visual, str]:
    """Those contents that stand under several names."""
    counts = Counter(contents.values())
    return {visual: content for visual, content in contents.items() if counts[content] > 1}


def known_by_content(record: Record, repeated: Mapping[Visual, str]) -> Record:
    """A record whose image stands under several names, with its content as its identity if it had none but its name.

    A table with a row, and a copy of the image, per caption would otherwise make each caption's image a wrong
    answer to the others.

    Args:
        record: Any.
        repeated: As `repeated_contents` gives it.
    """
    if record.image is None or record.source_id != str(record.image) or record.image not in repeated:
        return record
    return replace(record, source_id=f"content {repeated[record.image]}")


def _folder_hash(folder: Path) -> str:
    content = "".join(_file_hash(file) for file in frame_files(folder))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
