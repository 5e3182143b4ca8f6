"""Search among very many rows without looking at each: an index of faiss, its choice, its recall, its file.

Shapes: N entries, R rows that faiss has, D width of the shared space.
"""

from __future__ import annotations

import importlib.util
import math
import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError, DataError
from vljepa.extras import require_extra
from vljepa.inference.embedded import Rows
from vljepa.inference.index.manifest import Approximate
from vljepa.inference.index.recall import least_effort, truly_nearest
from vljepa.inference.index.rows import Shards
from vljepa.inference.index_size import EXACT_BELOW, choose

__all__ = ["EXACT_BELOW", "ApproximateIndex", "build", "check", "choose", "installed", "load"]

_TRAINING = 200_000
_BLOCK = 65_536
_GONE = 0.2
"""Share of rows that an index of faiss may have of files that are gone, before it is made anew."""


class ApproximateIndex:
    """An index of faiss over some of the shards of an index.

    Args:
        index: Of faiss; inner products.
        about: What the listing says of it.
        entries: Of the whole index, which may have lost some of those shards, and may have got others.
    """

    def __init__(self, index: Any, about: Approximate, entries: Shards) -> None:
        self._index, self.about = index, about
        place_of = dict(zip(entries.tables, entries.starts, strict=False))
        self._place: NDArray[np.intp] = np.concatenate(
            [
                np.arange(place_of[name], place_of[name] + count) if name in place_of else np.full(count, -1)
                for name, count in about.shards.items()
            ]
        )
        self._known = self._place >= 0
        self._whole = bool(self._known.all())
        self._parameters = _parameters(index, about.settings)
        rest = [
            np.arange(len(one)) + place_of[name] for name, one in entries.tables.items() if name not in about.shards
        ]
        self._rest: NDArray[np.intp] = np.concatenate(rest) if rest else np.empty(0, dtype=np.intp)

    def candidates(self, query: Rows, *, count: int, mask: NDArray[np.bool_] | None) -> NDArray[np.intp]:
        """Places of entries of which the nearest are some: those that faiss finds, and all that it has not got.

        Args:
            query: [D].
            count: How many are wanted.
            mask: Only among these entries, [N].
        """
        ids = self.search_faiss(query, count=min(max(2 * count, count + 8), len(self._place)), mask=mask)
        found = self._place[ids[ids >= 0]]
        rest = self._rest if mask is None else self._rest[mask[self._rest]]
        return np.concatenate([found, rest]) if len(rest) else found

    def search_faiss(self, query: Rows, *, count: int, mask: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Faiss' own search and no more: ids of its rows, nearest first, -1 where there are too few."""
        import faiss

        parameters = self._parameters
        if mask is not None or not self._whole:
            known = self._known if mask is None else self._known & mask[self._place]
            share = known.mean() or 1.0  # of what faiss looks at that counts
            more = {name: math.ceil(effort / share) for name, effort in self.about.settings.items()}
            settings = {name: min(effort, self._index.ntotal) for name, effort in more.items()}
            selector = faiss.IDSelectorBitmap(np.packbits(known, bitorder="little"))
            parameters = _parameters(self._index, settings, sel=selector)
        ids: NDArray[np.intp] = self._index.search(query[None], count, params=parameters)[1][0]
        return ids

    def share(self, query: Rows, right: set[int]) -> float:
        """How much of what is right is among the candidates."""
        return len(right & set(self.candidates(query, count=len(right), mask=None).tolist())) / len(right)


def build(
    entries: Shards, folder: Path, *, factory: str, queries: Rows, earlier: Approximate | None = None
) -> Approximate:
    """Build an index of faiss over all rows, or add those to an earlier one that it has not got; measure and write it.

    Args:
        entries: Of the index.
        folder: Of the index; the file's name is new.
        factory: As of `choose`, or any that faiss knows.
        queries: Embeddings [Q, D] that recall is measured with: such as will be asked, and no rows of the index.
        earlier: What is there, if anything is.

    Raises:
        ConfigError: `factory` is none that faiss knows.
        DataError: The file cannot be written.
    """
    require_extra("index", "faiss", user="search among very many images")

    if earlier is not None and (earlier.factory, earlier.shards) == (factory, entries.counts()):
        return earlier
    base = None if earlier is None or earlier.factory != factory else _grown(entries, folder, earlier)
    if base is None:
        index = _trained(_empty(factory, entries.blocks[0].shape[1]), entries, factory)
        shards = dict[str, int]()
    else:
        index, shards = base
    for name, block in zip(entries.tables, entries.blocks, strict=True):
        if name not in shards:
            for start in range(0, len(block), _BLOCK):
                index.add(np.ascontiguousarray(block[start : start + _BLOCK]))
            shards[name] = len(block)
    file = f"{uuid.uuid4().hex}.faiss"
    settings, recall = _tuned(index, entries, shards, queries)
    _write(index, folder / file)
    return Approximate(
        file=file, factory=factory, shards=shards, recall=recall, queries=len(queries), settings=settings
    )


def load(about: Approximate, folder: Path, entries: Shards) -> ApproximateIndex:
    """Open an index of faiss; what can be is mapped into memory.

    Raises:
        DataError: It is gone or damaged.
    """
    require_extra("index", "faiss", user="search among very many images")
    import faiss

    file = folder / about.file
    try:
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise DataError(
            f"{str(file)!r} is not an index of faiss: {str(error).splitlines()[0]}.",
            fix="make it again with `vljepa index PATH -o INDEX`.",
        ) from error
    counts = entries.counts()
    other = any(counts.get(name, count) != count for name, count in about.shards.items())
    if other or index.ntotal != sum(about.shards.values()) or index.d != entries.blocks[0].shape[1]:
        raise DataError(
            f"{str(file)!r} has {index.ntotal} rows of {index.d} numbers, which are not those that are listed.",
            fix="make it again with `vljepa index PATH -o INDEX`.",
        )
    return ApproximateIndex(index, about, entries)


def _write(index: Any, file: Path) -> None:
    """Write an index of faiss, so that a listing that names it may follow."""
    import faiss

    try:
        faiss.write_index(index, str(file))
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    except (RuntimeError, OSError) as error:
        file.unlink(missing_ok=True)
        raise DataError(
            f"{str(file)!r} cannot be written: {error}.", fix="make room on the disk, and run it again."
        ) from error


def check(factory: str, width: int) -> None:
    """Find out that faiss cannot build something before an hour of embedding, not after.

    Raises:
        ConfigError: faiss is not installed, does not know it, or it is neither a graph (HNSW) nor has lists (IVF).
    """
    _empty(factory, width)


def installed() -> bool:
    """Whether faiss is."""
    return importlib.util.find_spec("faiss") is not None


def _empty(factory: str, width: int) -> Any:
    require_extra("index", "faiss", user="search among very many images")
    import faiss

    fix = "give one of its factory's words, such as 'HNSW32', 'HNSW32,SQ8' or 'IVF1024,PQ48'."
    try:
        index = faiss.index_factory(width, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ConfigError(f"faiss knows no index {factory!r} for rows of {width} numbers.", fix=fix) from error
    inner = faiss.downcast_index(index)
    inner = faiss.downcast_index(inner.index) if isinstance(inner, faiss.IndexPreTransform) else inner
    if not isinstance(inner, faiss.IndexHNSW | faiss.IndexIVF):
        raise ConfigError(f"{factory!r} is neither a graph (HNSW) nor has lists (IVF).", fix=fix)
    return index


def _trained(index: Any, entries: Shards, factory: str) -> Any:
    import faiss

    if not index.is_trained:
        lists = getattr(faiss.try_extract_index_ivf(index), "nlist", 0)
        count = min(len(entries), max(_TRAINING, 40 * lists))
        try:
            index.train(entries.rows(np.linspace(0, len(entries) - 1, count).astype(np.intp)))
        except RuntimeError as error:
            raise ConfigError(
                f"{len(entries)} rows are too few for {factory!r}.", fix="give a smaller one, or 'HNSW32'."
            ) from error
    return index


def _grown(entries: Shards, folder: Path, earlier: Approximate) -> tuple[Any, dict[str, int]] | None:
    """An earlier index with the shards that it has; None where too much of it is gone."""
    import faiss

    gone = sum(count for name, count in earlier.shards.items() if name not in entries.tables)
    if gone > _GONE * sum(earlier.shards.values()):
        return None
    try:
        index = faiss.read_index(str(folder / earlier.file))
    except RuntimeError:
        return None
    sound = (index.ntotal, index.d) == (sum(earlier.shards.values()), entries.blocks[0].shape[1])
    return (index, dict(earlier.shards)) if sound else None


def _tuned(index: Any, entries: Shards, shards: dict[str, int], queries: Rows) -> tuple[dict[str, int], float]:
    """The least work that finds enough of the 10 nearest, and what share of them it finds."""
    import faiss

    about = Approximate(file="", factory="", shards=shards, recall=0.0, queries=0, settings={})
    exact = [set(some) for some in truly_nearest(entries, queries).tolist()]
    name = "nprobe" if faiss.try_extract_index_ivf(index) else "efSearch"

    def share(effort: int) -> float:
        found = ApproximateIndex(index, replace(about, settings={name: effort}), entries)
        return float(np.mean([found.share(query, right) for query, right in zip(queries, exact, strict=True)]))

    effort, recall = least_effort(share)
    return {name: effort}, recall


def _parameters(index: Any, settings: dict[str, int], **options: Any) -> Any:
    """Search parameters of faiss for this kind of index."""
    import faiss

    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=_parameters(index.index, settings, **options))
    kind = faiss.SearchParametersIVF if isinstance(index, faiss.IndexIVF) else faiss.SearchParametersHNSW
    return kind(**settings, **options)
