"""Near duplicates among the images of an index: the same perceptual hash, or nearly, and embeddings that agree.

Scaled, compressed, brightened, grey and slightly cropped copies are found; other photos of the same thing are not. Time
grows with the square of the number of images, about a nanosecond for each two; memory does not.

Shapes: N images, n candidates, D width of the shared space.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa.data.fingerprints import Fingerprint, fingerprints
from vljepa.data.records import Visual
from vljepa.errors import ConfigError, DataError
from vljepa.extras import require_extra
from vljepa.inference.embedded import Rows
from vljepa.inference.index.rows import Shards
from vljepa.inference.reading import Progress

BITS = 12
"""Of the 64 bits of two perceptual hashes, how many may differ. Default: tuned on copies of COCO photos."""
_CLOSE = 10
_COSINES = (0.5, 0.9)
"""Cosine that embeddings need, where at most `_CLOSE` bits differ and where more do; tuned with `BITS`. Among very many
images the hashes of some agree by chance, and with `mini` a copy of a quarter of the size may have no more than 0.5."""
COLOUR = 40.0
"""Mean difference (0 to 255) of two thumbnails: a grey copy has less, a blue heart beside a red one has more."""
_AT_ONCE = 16_384


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """An image that looks like the first of its group.

    Args:
        path: Relative to the index's folder.
        cosine: Of the two embeddings.
        bits: Of their perceptual hashes that differ, of 64; None where the files have the same content and no hash.
    """

    path: str
    cosine: float
    bits: int | None


@dataclass(frozen=True, kw_only=True)
class DuplicateGroup:
    """Images that look the same.

    Args:
        path: Of the largest file, relative to the index's folder; images inside of data files come after files.
        duplicates: The others, in the same order.
    """

    path: str
    duplicates: tuple[Duplicate, ...]


def near_duplicates(
    entries: Shards,
    folder: Path,
    *,
    bits: int = BITS,
    stored: Mapping[str, Visual] | None = None,
    progress: Progress | None = None,
) -> tuple[list[DuplicateGroup], dict[str, str]]:
    """Groups of images that look the same; every image of a group is like its first.

    Args:
        entries: Of the index; segments of videos are left out.
        folder: Where its files lie now; all images are opened.
        bits: Of the 64 bits of two perceptual hashes, how many may differ.
        stored: Images inside of data files, by path.
        progress: Called with the number of images compared since the last call.

    Returns:
        The groups, those with the largest file first, and why some files could not be looked at, by path.

    Raises:
        ConfigError: `bits` makes no sense, or ImageHash is not installed.
        DataError: None of the images is there.
    """
    if not 0 <= bits < 32:
        raise ConfigError(f"{bits} of 64 bits may differ.", fix="give 0 to 31; unlike images differ in 32 or so.")
    require_extra("duplicates", "imagehash", user="the search for near duplicates")
    images = np.flatnonzero(entries.column("start").is_null().to_numpy())
    paths = [os.fsdecode(one) for one in entries.take("path", images).to_pylist()]
    visuals: list[Visual] = [(stored or {}).get(path, folder / path) for path in paths]
    seen, broken = fingerprints(visuals)
    if not seen and len(images):
        raise DataError(
            f"none of the {len(images)} images of the index can be read in {str(folder)!r}.",
            fix="name the folder that they lie in now.",
        )
    sizes = entries.take("size", images).to_numpy()
    places = [place for place, visual in enumerate(visuals) if visual in seen]
    inside = stored or {}  # of a data file, whose size is no image's
    order = np.array(sorted(places, key=lambda n: (paths[n] in inside, -sizes[n], paths[n])), dtype=np.intp)
    looks = _Looks([seen[visuals[place]] for place in order], entries, images[order])
    groups = [
        DuplicateGroup(
            path=paths[order[first]],
            duplicates=tuple(
                Duplicate(path=paths[order[one]], cosine=cosine, bits=differing) for one, cosine, differing in others
            ),
        )
        for first, others in looks.groups(bits=bits, progress=progress)
    ]
    return groups, {paths[place]: broken[visual] for place, visual in enumerate(visuals) if visual in broken}


class _Looks:
    """Images in the order in which they may come first in a group."""

    def __init__(self, prints: list[Fingerprint], entries: Shards, places: NDArray[np.intp]) -> None:
        self._entries, self._places = entries, places
        self._hashes = np.array([one.bits or 0 for one in prints], dtype=np.uint64)
        self._hashed = np.array([one.bits is not None for one in prints], dtype=bool)
        self._colours = np.array([one.thumbnail.ravel() for one in prints], dtype=np.uint8)
        _, self._contents, counts = np.unique([one.content for one in prints], return_inverse=True, return_counts=True)
        self._alone = counts[self._contents] == 1

    def groups(
        self, *, bits: int, progress: Progress | None
    ) -> Iterator[tuple[int, list[tuple[int, float, int | None]]]]:
        """Numbers of the first of each group, and of the others with cosine and bits."""
        taken = np.zeros(len(self._hashes), dtype=bool)
        for first in range(len(taken)):
            if progress is not None:
                progress(1)
            others = [] if taken[first] else self._like(first, bits=bits, taken=taken)
            if others:
                taken[[one for one, _, _ in others]] = True
                yield first, others

    def _like(self, first: int, *, bits: int, taken: NDArray[np.bool_]) -> list[tuple[int, float, int | None]]:
        """Those after an image, and not taken, that look like it."""
        near = np.bitwise_count(self._hashes[first + 1 :] ^ self._hashes[first]) <= bits
        if not self._hashed[first]:
            near[:] = False
        if not self._alone[first]:
            near |= self._contents[first + 1 :] == self._contents[first]
        some = np.flatnonzero(near) + first + 1
        some = some[~taken[some]]
        equal = self._contents[some] == self._contents[first]
        some = some[equal | self._hashed[some]]
        if not len(some):
            return []
        equal = self._contents[some] == self._contents[first]
        cosines = self._cosines(first, some)
        differing = np.bitwise_count(self._hashes[some] ^ self._hashes[first])
        enough = np.where(differing <= _CLOSE, *_COSINES)
        kept = equal | ((cosines >= enough) & (self._colour_difference(first, some) <= COLOUR))
        return [
            (int(one), round(float(cosine), 4), int(count) if self._hashed[one] else None)
            for one, cosine, count in zip(some[kept], cosines[kept], differing[kept], strict=True)
        ]

    def _cosines(self, first: int, others: NDArray[np.intp]) -> Rows:
        [row] = self._entries.rows(self._places[[first]])
        parts = [
            self._entries.rows(self._places[others[start : start + _AT_ONCE]]) @ row
            for start in range(0, len(others), _AT_ONCE)
        ]
        return np.concatenate(parts)

    def _colour_difference(self, first: int, others: NDArray[np.intp]) -> NDArray[np.float64]:
        ours, theirs = self._colours[first], self._colours[others]
        found: NDArray[np.float64] = (np.maximum(ours, theirs) - np.minimum(ours, theirs)).mean(axis=1)
        return found
