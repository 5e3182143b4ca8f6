"""Which images are the same, or look the same: hashes of bytes, perceptual hashes and small thumbnails.

Shapes: N queries, M items.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vljepa.data.contents import content_of
from vljepa.data.images import clip_images, open_still
from vljepa.data.progress import track
from vljepa.data.records import Clip, Still, Visual
from vljepa.data.stored import Cell
from vljepa.errors import DataError, ImageError, VideoError

NEAR_BITS = 2
"""Of the 64 bits of two perceptual hashes, how many may differ; they differ by an even number."""
NEAR_COLOUR = 24.0
"""Mean difference (0 to 255) of two thumbnails: the hash is blind to colour, and a red heart is not a blue one."""
FLAT = 12.0
"""Standard deviation of grey levels under which the hash is noise."""
MAX_PIXELS = 100_000_000
"""Cap on width x height of an image."""

_SIDE = 8
_READERS = min(8, os.cpu_count() or 1)
_PAIRS_AT_ONCE = 100_000
# Hashes that differ in at most NEAR_BITS bits agree in one of NEAR_BITS + 1 blocks of bits, so only those are compared.
_BLOCKS = [
    np.uint64(sum(1 << bit for bit in range(64 * block // (NEAR_BITS + 1), 64 * (block + 1) // (NEAR_BITS + 1))))
    for block in range(NEAR_BITS + 1)
]


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What an image is compared by; a clip is known by its whole video and looked at in its middle.

    Args:
        content: Hash of the file's bytes.
        bits: Perceptual hash (pHash: signs of low frequencies of the grey image); None where the image is flat.
        thumbnail: [8, 8, 3] mean colours, 0 to 255.
    """

    content: str
    bits: int | None
    thumbnail: NDArray[np.uint8]


def fingerprint(visual: Visual, *, max_pixels: int = MAX_PIXELS, hashes: dict[Path, str] | None = None) -> Fingerprint:
    """Open one image, or the middle frame of a clip.

    Args:
        visual: What to open.
        max_pixels: Cap on width x height.
        hashes: Those of files so far, kept here: many clips are cut from one video.

    Raises:
        DataError: ImageHash is not installed; as `ImageError` or `VideoError`, the image or clip cannot be read.
    """
    hashing = _imagehash()
    known = {} if hashes is None else hashes
    if isinstance(visual, Still):
        visual = visual.image
    if isinstance(visual, Clip):
        [image] = clip_images(replace(visual, frames=1), view=0, max_pixels=max_pixels)
        content = content_of(Clip(visual.path, start=0.0, end=None, frames=1), known)
    else:
        image = open_still(visual, max_pixels=max_pixels)
        content = content_of(visual, known)
    box = Image.Resampling.BOX
    grey = np.asarray(image.convert("L").resize((4 * _SIDE, 4 * _SIDE), box), dtype=np.float32)
    return Fingerprint(
        content=content,
        bits=None if float(grey.std()) < FLAT else int(str(hashing.phash(image, hash_size=_SIDE)), 16),
        thumbnail=np.asarray(image.resize((_SIDE, _SIDE), box)),
    )


def fingerprints(
    visuals: Sequence[Visual], *, max_pixels: int = MAX_PIXELS
) -> tuple[dict[Visual, Fingerprint], dict[Visual, str]]:
    """Open many images and clips, several at a time.

    Returns:
        The fingerprint of each that can be read, and the reason for each that cannot.

    Raises:
        DataError: ImageHash is not installed.
    """
    _imagehash()
    hashes: dict[Path, str] = {}

    def look(visual: Visual) -> Fingerprint | str:
        try:
            return fingerprint(visual, max_pixels=max_pixels, hashes=hashes)
        except (ImageError, VideoError) as error:
            return error.message
        except OSError as error:
            return error.strerror or type(error).__name__

    seen: dict[Visual, Fingerprint] = {}
    broken: dict[Visual, str] = {}
    # Tables are read row group by row group, by one reader at a time.
    apart = [visual for visual in visuals if not isinstance(visual, Cell)]
    inside = [visual for visual in visuals if isinstance(visual, Cell)]
    with ThreadPoolExecutor(_READERS) as pool:
        looked = chain(zip(apart, pool.map(look, apart), strict=True), ((visual, look(visual)) for visual in inside))
        for visual, found in track(looked, what="looking at images", total=len(visuals)):
            if isinstance(found, Fingerprint):
                seen[visual] = found
            else:
                broken[visual] = found
    return seen, broken


def equal(queries: Sequence[Fingerprint], items: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """For each query, the index of an item with the same bytes; -1 where there is none, [N]."""
    where: dict[str, int] = {}
    for index, item in enumerate(items):
        where.setdefault(item.content, index)
    return np.array([where.get(query.content, -1) for query in queries], dtype=np.int64)


def near(queries: Sequence[Fingerprint], items: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """For each query, the index of the item that looks the most like it; -1 where none looks the same, [N].

    Two images look the same when their hashes differ by at most `NEAR_BITS` bits and their thumbnails by at most
    `NEAR_COLOUR`. Time grows with N + M and the pairs that share a block of bits, not with N x M.
    """
    best_N = np.full(len(queries), -1, dtype=np.int64)
    distance_N = np.full(len(queries), np.inf)
    if not queries or not items:
        return best_N
    query_index, query_bits = _hashes(queries)
    item_index, item_bits = _hashes(items)
    query_colours = np.stack([one.thumbnail.ravel() for one in queries])
    item_colours = np.stack([one.thumbnail.ravel() for one in items])
    for number, block in enumerate(_BLOCKS):
        for rows, columns in _sharing(query_bits & block, item_bits & block):
            other_bits = query_bits[rows] ^ item_bits[columns]
            differing = np.bitwise_count(other_bits)
            close = differing <= NEAR_BITS
            for earlier in _BLOCKS[:number]:
                close &= other_bits & earlier != 0  # else the pair has been seen
            query, item = query_index[rows[close]], item_index[columns[close]]
            ours, theirs = query_colours[query], item_colours[item]
            colour = (np.maximum(ours, theirs) - np.minimum(ours, theirs)).mean(axis=1)
            distance = np.where(colour <= NEAR_COLOUR, differing[close] + colour / 256, np.inf)
            order = np.lexsort((item, distance, query))
            first = order[np.unique(query[order], return_index=True)[1]]
            better = first[distance[first] < distance_N[query[first]]]
            best_N[query[better]], distance_N[query[better]] = item[better], distance[better]
    return best_N


def _hashes(prints: Sequence[Fingerprint]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Indices of the images that are not flat, and their hashes."""
    found = [(index, one.bits) for index, one in enumerate(prints) if one.bits is not None]
    return np.array([one for one, _ in found], dtype=np.int64), np.array([bits for _, bits in found], dtype=np.uint64)


def _sharing(
    queries: NDArray[np.uint64], items: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (query, item) of equal keys, in parts of bounded size."""
    order = np.argsort(items, kind="stable")
    first = np.searchsorted(items[order], queries, side="left")
    counts = np.searchsorted(items[order], queries, side="right") - first
    parts = np.cumsum(counts) // _PAIRS_AT_ONCE
    for part in np.unique(parts[counts > 0]):
        rows = np.flatnonzero((parts == part) & (counts > 0))
        sizes = counts[rows]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield np.repeat(rows, sizes), order[np.repeat(first[rows], sizes) + within]


def _imagehash() -> Any:
    try:
        import imagehash
    except ImportError:
        raise DataError(
            "images that look the same are found by ImageHash, which is not installed.",
            fix="run `pip install 'vljepa-torch[eval]'`.",
        ) from None
    return imagehash
