"""How quick search is among 10,000 to a million rows: ``python eval/run.py bench.search counts=[10000,100000]``.

An index of the product, opened from the disk, beside faiss' own search of the very same structure, beside NumPy, query
by query in turns, so that another program's load meets all. Rows are made: clusters on a sphere, as embeddings have
them; the queries are new points of the same clusters. One thread.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.memory import apart, quantile
from eval.core.charts import Line, lines
from eval.core.console import log
from vljepa.inference.embedded import Rows
from vljepa.inference.index import approximate, nearest
from vljepa.inference.index.build import finish
from vljepa.inference.index.entry import Entry, Header
from vljepa.inference.index.manifest import SHARDS, Manifest, prepare_folder, read_manifest
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.settle import LARGE
from vljepa.inference.index.shard import table_of, write_table

K = 10
NAMES = {
    "exact": "vljepa, exact",
    "faiss_flat": "faiss, exact",
    "numpy": "NumPy, partition",
    "numpy_sorted": "NumPy, sort",
    "approximate": "vljepa, HNSW",
    "faiss": "faiss, HNSW",
}


def measure(
    *,
    counts: Sequence[int] = (10_000, 100_000, 1_000_000),
    widths: Sequence[int] = (384, 768),
    most: int = 400_000_000,
    queries: int = 200,
    folder: str = "",
    plot: str = "",
) -> dict[str, Any]:
    """Time and share of the truly nearest.

    Args:
        counts: Rows.
        widths: Numbers of a row.
        most: Rows times width above which a size is left out, for memory and time.
        queries: How many, one after the other.
        folder: For the indexes; empty for a temporary one.
        plot: PNG file to draw.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    place = Path(folder) if folder else Path(tempfile.mkdtemp())
    found = []
    for width in widths:
        for count in counts:
            if count * width <= most:
                found.append(_one(place / f"{count}_{width}.index", count, width, queries))
                log(str(found[-1]))
    if not folder:
        shutil.rmtree(place)
    if plot:
        Path(plot).write_bytes(drawn(found))
    return {"k": K, "queries": queries, "sizes": found}


def drawn(sizes: Sequence[dict[str, Any]]) -> bytes:
    """Milliseconds of a query by rows, a panel for each width, as PNG."""
    panels = []
    for width in sorted({one["width"] for one in sizes}):
        there = [one for one in sizes if one["width"] == width]
        some = {name: [one for one in there if name in one["ms"]] for name in NAMES}
        panels.append(
            (
                f"{width} numbers a row",
                "ms, median of a query",
                [
                    Line(NAMES[name], [one["count"] for one in rows], [one["ms"][name]["median"] for one in rows])
                    for name, rows in some.items()
                    if rows
                ],
            )
        )
    return lines([panels], x="rows", log="both")


def _one(folder: Path, count: int, width: int, queries: int) -> dict[str, Any]:
    asked = _cloud(count, width, seed=1, some=queries)
    began = time.perf_counter()
    _write(folder, count, width)
    written = time.perf_counter() - began
    began = time.perf_counter()
    manifest = read_manifest(folder)
    entries = Shards.open(folder, manifest.shards, width=width)
    opened = time.perf_counter() - began
    result: dict[str, Any] = {"count": count, "width": width, "write_s": round(written, 2), "open_s": round(opened, 4)}
    result["memory_mib"] = {name: apart(_memory, name, folder) for name in ("exact", "faiss_flat", "numpy")}
    result["ms"] = _in_turns(_exact_works(entries), asked)
    factory = approximate.choose(count, width)
    if factory is not None:
        began = time.perf_counter()
        about = approximate.build(entries, folder, factory=factory, queries=asked[: queries // 2])
        result["build_s"] = round(time.perf_counter() - began, 1)
        finish(folder, replace(manifest, approximate=about))
        index = approximate.load(about, folder, entries)
        share = [
            _share(nearest.nearest(entries, None, query, k=K), nearest.nearest(entries, index, query, k=K))
            for query in asked[queries // 2 :]
        ]
        result |= {"factory": about.factory, "settings": about.settings, "built_recall": about.recall}
        result |= {"recall": round(float(np.mean(share)), 4), "faiss_mib": (folder / about.file).stat().st_size >> 20}
        result["memory_mib"] |= {name: apart(_memory, name, folder) for name in ("approximate", "faiss")}
        works: dict[str, Callable[[Rows], Any]] = {
            "approximate": lambda query: nearest.nearest(entries, index, query, k=K),
            "faiss": lambda query: index.search_faiss(query, count=K),
        }
        result["ms"] |= _in_turns(works, asked)
    shutil.rmtree(folder)
    return result


def _exact_works(entries: Shards) -> dict[str, Callable[[Rows], Any]]:
    whole, count = np.concatenate(entries.blocks), len(entries)
    return {
        "exact": lambda query: nearest.nearest(entries, None, query, k=K),
        "numpy": lambda query: np.argpartition(whole @ query, count - K)[-K:],
        "numpy_sorted": lambda query: np.argsort(-(whole @ query), kind="stable")[:K],
        "faiss_flat": _flat(whole),
    }


def _memory(name: str, folder: Path) -> dict[str, int]:
    """MiB that opening an index and 20 searches take: of the process itself, and mapped from files, which may go again.

    Args:
        name: Which of the ways.
        folder: Of the index.
    """
    import faiss

    manifest = read_manifest(folder)
    asked = _cloud(0, manifest.header.width, seed=3, some=20)
    before = _held()
    entries = Shards.open(folder, manifest.shards, width=manifest.header.width)
    if name == "exact":
        kept: Any = lambda query: nearest.nearest(entries, None, query, k=K)  # noqa: E731
    elif name == "approximate":
        assert manifest.approximate is not None
        index = approximate.load(manifest.approximate, folder, entries)
        kept = lambda query: nearest.nearest(entries, index, query, k=K)  # noqa: E731
    elif name == "faiss":
        assert manifest.approximate is not None
        whole = faiss.read_index(str(folder / manifest.approximate.file))
        kept = lambda query: whole.search(query[None], K)  # noqa: E731
    else:
        rows = np.concatenate(entries.blocks)
        kept = _flat(rows) if name == "faiss_flat" else lambda query: np.argpartition(rows @ query, len(rows) - K)
        del entries
        if name == "faiss_flat":
            del rows
    for query in asked:
        kept(query)
    own, mapped = (after - start for after, start in zip(_held(), before, strict=True))
    return {"own": round(own), "mapped": round(mapped)}


def _held() -> tuple[float, float]:
    """MiB of this process that are its own, and that are mapped from files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    own, mapped = (int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def _flat(whole: Rows) -> Callable[[Rows], Any]:
    import faiss

    index = faiss.IndexFlatIP(whole.shape[1])
    index.add(whole)
    return lambda query: index.search(query[None], K)


def _share(right: nearest.Found, found: nearest.Found) -> float:
    return len(set(right.places.tolist()) & set(found.places.tolist())) / len(right.places)


def _in_turns(works: dict[str, Callable[[Rows], Any]], asked: Rows) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for number, query in enumerate(asked):
        for name, work in list(works.items())[:: 1 if number % 2 else -1]:  # the second finds its rows in the caches
            began = time.perf_counter()
            work(query)
            times[name].append(1e3 * (time.perf_counter() - began))
    return {
        name: {"median": round(statistics.median(taken), 3), "p99": round(quantile(taken, 0.99), 3)}
        for name, taken in times.items()
    }


def _write(folder: Path, count: int, width: int) -> None:
    prepare_folder(folder)
    shards = {}
    for start in range(0, count, LARGE):
        size = min(LARGE, count - start)
        made = [
            Entry(path=f"photos/{n // 1000}/IMG_{n:07}.jpg", size=n, mtime=1.0 * n, content=f"{n:032x}")
            for n in range(start, start + size)
        ]
        name = f"{start:08}.arrow"
        write_table(table_of(made, _cloud(size, width, seed=2 + start)), folder / SHARDS / name)
        shards[name] = size
    header = Header(model="bench", fingerprint="f", text_space="s", folder="/photos", segments="", width=width)
    finish(folder, Manifest(header=header, shards=shards))


def _cloud(count: int, width: int, *, seed: int, some: int | None = None) -> Rows:
    """Points around 1,000 centres on the sphere, which depend on the width alone."""
    centres = np.random.default_rng(width).standard_normal((1000, width), dtype=np.float32)
    generator = np.random.default_rng(seed)
    size = count if some is None else some
    rows = centres[generator.integers(0, len(centres), size)]
    rows = rows + generator.standard_normal((size, width), dtype=np.float32)
    found: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found
