"""Keeps an index fresh: waits for changes in folders, and embeds the files that have changed once they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import DataError
from vljepa.inference.index.approximate import EXACT_BELOW, installed
from vljepa.inference.index.build import known_media
from vljepa.inference.index.changes import Changes
from vljepa.inference.index.files import Files, find_files
from vljepa.inference.index.index import Index
from vljepa.inference.index.manifest import read_manifest
from vljepa.processing.processor import VLJEPAProcessor

TURN = 0.5
"""Seconds between two looks at what has changed, and at whether the folders are still there."""
_AGAIN = 30.0
"""Seconds after which what could not be done is tried again, such as while another process is at work."""
_PATIENCE = 10
"""Times `quiet` that a look waits while files are moved or removed, so that their new names are looked for, too."""
_BEHIND = EXACT_BELOW // 2
"""Rows that faiss may lack, which are searched exactly, before it is given them."""


class _Broken(NamedTuple):
    """A file that could not be read, or only in part, as it was then."""

    size: int
    mtime: float
    partly: bool


_NEVER = _Broken(-1, -1.0, False)


@dataclass(frozen=True)
class Refreshed:
    """An index after a look at its folders, and how many files were embedded."""

    index: Index
    embedded: int

    @property
    def changed(self) -> bool:
        """Whether the index is another one now."""
        return bool(self.embedded or self.index.skipped or self.index.moved or self.index.gone)


def keep_fresh(
    model: VLJEPA,
    processor: VLJEPAProcessor,
    folders: Sequence[str | Path],
    *,
    output: str | Path,
    quiet: float = 2.0,
    **options: Any,
) -> Iterator[Refreshed | DataError]:
    """Bring an index up to date now and after every change, for ever: the caller stops when it likes.

    All of the folders are looked at, and only files that have changed are embedded. A file counts when nothing has
    happened to it for a while; one that could not be read, or only in part, is read again when it has changed. While
    one of the folders is not there or empty, such as on a drive that was taken away, the index stays as it is. Between
    two looks there is at least as much time as the last one took.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
        folders: With all below them; they may be there later.
        output: Folder of the index.
        quiet: Seconds without a change after which a file counts as written.
        options: As of `Index.build`.

    Yields:
        The index after each look; or why there is none, once, and it is tried again.

    Raises:
        ConfigError: watchdog is not installed.
    """
    places, output = [Path(one) for one in folders], Path(output)
    said, again, rest_until, settled_at = "", float("inf"), 0.0, float("inf")
    broken: dict[str, _Broken] = {}
    with Changes(places, leave_out=output) as changes:
        while True:
            began, result = time.monotonic(), None
            try:
                _check_there(changes)
                if changes.settled(quiet=quiet):
                    settled_at = min(settled_at, began)
                patient = changes.moving(quiet=quiet) and began < settled_at + _PATIENCE * quiet
                if began >= rest_until and (began >= again or began >= settled_at) and not patient:
                    again = settled_at = float("inf")
                    found = _settled_files(places, output, busy=changes.take(quiet=quiet), broken=broken)
                    if len(found):
                        index = Index.build(
                            model, processor, found, output=output, approximate=_factory(output), **options
                        )
                        broken |= _broken(index, found)
                        lost = sum(not one.partly for one in index.skipped)
                        result = Refreshed(index, len(found) - index.unchanged - index.moved - lost)
                    rest_until = 2 * time.monotonic() - began
            except DataError as error:
                again = began + _AGAIN
                if str(error) != said:
                    said = str(error)
                    yield error
            if result is not None:
                said = ""
                yield result
            time.sleep(TURN)


def _broken(index: Index, found: Files) -> dict[str, _Broken]:
    partly = {one.path: one.partly for one in index.skipped}
    every = [*found.images, *found.videos]
    return {one.path: _Broken(one.size, one.mtime, partly[one.path]) for one in every if one.path in partly}


def _check_there(changes: Changes) -> None:
    missing = changes.missing()
    if missing:
        raise DataError(
            f"the folder {str(missing[0])!r} is not there; the index stays as it is.",
            fix="nothing is to be done: it is waited for.",
        )


def _settled_files(places: Sequence[Path], output: Path, *, busy: set[str], broken: Mapping[str, _Broken]) -> Files:
    """Images and videos of the folders, without those that are as broken as they were.

    Of those that are still being written, what is known of them stays, and what is new is left out.
    """
    known = known_media(output)
    found = find_files(places, known=known)
    same = {
        one.path for one in found.images + found.videos if broken.get(one.path, _NEVER)[:2] == (one.size, one.mtime)
    }
    busy_here = {one.path for one in found.images + found.videos if str(found.folder / one.path) in busy}
    found.as_known = {path for path in same if broken[path].partly} | {
        path for path in busy_here if str(found.folder / path) in known
    }
    left_out = (same | busy_here) - found.as_known
    for files in (found.images, found.videos):
        files[:] = [one for one in files if one.path not in left_out]
    return found


def _factory(output: Path) -> str:
    """What faiss is to build: it is not given a few new rows at every change."""
    try:
        manifest = read_manifest(output)
    except DataError:
        return "auto"
    about = manifest.approximate
    if about is None:
        return "auto"
    if not installed():
        return "keep"
    lacking = sum(count for name, count in manifest.shards.items() if name not in about.shards)
    return "keep" if lacking < _BEHIND else about.factory
