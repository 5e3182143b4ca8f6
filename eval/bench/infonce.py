"""InfoNCE dense, tiled, and open_clip's ClipLoss, in one run: ``python eval/run.py bench.infonce``.

Forward and backward on unit-norm rows, one positive each. Every measurement is a process of its own, so that its peak
memory is its own: what it needs above its inputs and their gradients. Methods take turns; medians of repeats. Seconds
are the processor's, the system's part apart: that is what new memory costs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss

from eval.bench.memory import apart, count_peak_from_here, peak_mb, resident_mb
from eval.core.charts import Line, lines
from eval.core.console import log
from vljepa.objectives import infonce

METHODS = ("dense", "open_clip", "tiled")
TILE = 512
LARGEST_DENSE = 16384


def measure(
    *,
    rows: Sequence[int] = (1024, 2048, 4096, 8192, 16384, 32768),
    widths: Sequence[int] = (256, 1536),
    repeats: int = 3,
) -> dict[str, Any]:
    """Every size by every method; sizes from 8,192 rows on take one repeat fewer."""
    table: list[dict[str, Any]] = []
    for width in widths:
        for count in rows:
            methods = [one for one in METHODS if one == "tiled" or count <= LARGEST_DENSE]
            found: dict[str, list[dict[str, float]]] = {one: [] for one in methods}
            for _ in range(repeats if count < 8192 else max(1, repeats - 1)):
                for method in methods:  # in turns, so that what else the machine does hits all
                    found[method].append(measure_apart(method, count, width))
            for method, runs in found.items():
                medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                table.append({"method": method, "rows": count, "width": width} | medians)
                log(f"N {count:6} D {width:5} {method:10} {medians['seconds']:8.2f} s {medians['peak_mb']:8.0f} MB")
    return {
        "task": "InfoNCE, forward and backward, float32, CPU",
        "protocol": f"one thread, niceness {os.nice(0)}, tiles of {TILE} rows, peak resident memory above inputs and "
        f"gradients, processor seconds (user and system), medians of {repeats}, from 8,192 rows on of one fewer",
        "rows": table,
    }


def measure_here(method: str, rows: int, width: int) -> dict[str, float]:
    """Processor seconds, the system's part of them, and peak megabytes of one forward and backward in this process."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    sides = [F.normalize(torch.randn(rows, width, generator=generator), dim=-1).requires_grad_() for _ in range(2)]
    scale = torch.full((1,), 20.0, requires_grad=True)
    if method == "open_clip":
        loss = ClipLoss()
    # Gradients that are there already are added to, so that they do not count; and libraries are warm.
    for side in sides:
        side.grad = torch.zeros_like(side)
    infonce(sides[0][:8], sides[1][:8], logit_scale=scale, tile=4).backward()
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that is kept would be used again, and not be counted
    count_peak_from_here()
    before, start = resident_mb(), resource.getrusage(resource.RUSAGE_SELF)
    if method == "open_clip":
        loss(sides[0], sides[1], scale).backward()
    else:
        infonce(*sides, logit_scale=scale, tile=TILE if method == "tiled" else None).backward()
    end, peak = resource.getrusage(resource.RUSAGE_SELF), peak_mb()
    system = end.ru_stime - start.ru_stime
    # The gradients of this backward exist beside the sums that they are added to: they are inputs' gradients too.
    gradients = sum(side.numel() * 4 for side in sides) / 2**20
    seconds = end.ru_utime - start.ru_utime + system
    return {"seconds": seconds, "system_seconds": system, "peak_mb": max(0.0, peak - before - gradients)}


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """Memory and time against N."""
    panels = []
    for key, title in (("peak_mb", "peak memory above inputs and gradients, MB"), ("seconds", "processor time, s")):
        shown = []
        for width, style in zip(sorted({row["width"] for row in result["rows"]}), ("--", "-"), strict=False):
            for method, colour in zip(METHODS, ("tab:gray", "tab:orange", "tab:blue"), strict=True):
                rows = [row for row in result["rows"] if (row["method"], row["width"]) == (method, width)]
                sizes, values = [row["rows"] for row in rows], [row[key] for row in rows]
                shown.append(Line(f"{method}, D = {width}", sizes, values, style=style, colour=colour))
        panels.append((title, "", shown))
    return {"infonce.png": lines([panels], x="N", log="both")}


def measure_apart(method: str, rows: int, width: int) -> dict[str, float]:
    """In a process of its own, forked from a server that has nothing but the imports behind it."""
    found: dict[str, float] = apart(measure_here, method, rows, width, preload=["open_clip", "vljepa.objectives"])
    return found
