"""What is in a file, as a short hash: the same file is known again where it was moved."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

_PIECE = 256 << 10


def content_id(file: Path, *, size: int) -> str:
    """Hash of a file's length, beginning, middle and end; "" where it cannot be read.

    Of a file up to 768 kB that is all of it. Two videos that differ in other places alone are one to it.
    """
    found = blake2b(str(size).encode(), digest_size=16)
    try:
        with file.open("rb") as stream:
            for start in _starts(size):
                stream.seek(start)
                found.update(stream.read(_PIECE))
    except OSError:
        return ""
    return found.hexdigest()


def _starts(size: int) -> list[int]:
    if size <= 3 * _PIECE:
        return list(range(0, max(size, 1), _PIECE))
    return [0, (size - _PIECE) // 2, size - _PIECE]
