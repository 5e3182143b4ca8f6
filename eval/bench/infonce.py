"""InfoNCE dense, tiled, and open_clip's ClipLoss, in one run: ``python -m eval.bench.infonce``.

Forward and backward on unit-norm rows, one positive each. Every measurement is a process of its own, so that its peak
memory is its own: what it needs above its inputs and their gradients. Methods take turns; medians of repeats. Writes
JSON and a plot. Seconds are the processor's, the system's part told apart: that is what new memory costs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss

from eval.bench.memory import count_peak_from_here, peak_mb, resident_mb
from eval.command import say
from eval.mini import provenance
from vljepa.objectives import infonce

METHODS = ("dense", "open_clip", "tiled")
TILE = 512
LARGEST_DENSE = 16384


def main() -> None:
    """Measure everything, and write after each size what there is."""
    parser = argparse.ArgumentParser(prog="python -m eval.bench.infonce", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16384, 32768])
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 1536])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; sizes from 8,192 rows on take one fewer")
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results/infonce.json"))
    parser.add_argument("--plot", type=Path, default=Path("docs/infonce.png"))
    given = parser.parse_args()
    result = {**head(given.repeats), "rows": []}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, Any]] = result["rows"]
    for width in given.widths:
        for rows in given.rows:
            methods = [one for one in METHODS if one == "tiled" or rows <= LARGEST_DENSE]
            found: dict[str, list[dict[str, float]]] = {one: [] for one in methods}
            for _ in range(given.repeats if rows < 8192 else max(1, given.repeats - 1)):
                for method in methods:  # in turns, so that what else the machine does hits all
                    found[method].append(measure_apart(method, rows, width))
            for method, runs in found.items():
                row = {"method": method, "rows": rows, "width": width} | {
                    key: statistics.median(run[key] for run in runs) for key in runs[0]
                }
                table.append(row)
                say(f"N {rows:6} D {width:5} {method:10} {row['seconds']:8.2f} s {row['peak_mb']:8.0f} MB")
            given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            plot(table, given.plot)
    say(f"written: {given.output}, {given.plot}")


def head(repeats: int) -> dict[str, Any]:
    """What is said of all rows."""
    origin = provenance.origin("eval.bench.infonce")
    return {
        "task": "InfoNCE, forward and backward, float32, CPU",
        **origin,
        "versions": origin["versions"] | {"open_clip_torch": version("open_clip_torch")},
        "protocol": f"one thread, niceness {os.nice(0)}, tiles of {TILE} rows, peak resident memory above inputs and "
        f"gradients, processor seconds (user and system), medians of {repeats}, from 8,192 rows on of one fewer",
    }


def measure(method: str, rows: int, width: int) -> dict[str, float]:
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


def plot(table: list[dict[str, Any]], file: Path) -> None:
    """Memory and time against N, both on log axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for width, line in zip(sorted({row["width"] for row in table}), ("--", "-"), strict=False):
        for method, colour in zip(METHODS, ("tab:gray", "tab:orange", "tab:blue"), strict=True):
            rows = [row for row in table if (row["method"], row["width"]) == (method, width)]
            for axis, key in zip(axes, ("peak_mb", "seconds"), strict=True):
                axis.plot(
                    [row["rows"] for row in rows],
                    [row[key] for row in rows],
                    line,
                    color=colour,
                    marker="o",
                    label=f"{method}, D = {width}",
                )
    for axis, title in zip(axes, ("peak memory above inputs and gradients, MB", "processor time, s"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="N", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def measure_apart(method: str, rows: int, width: int) -> dict[str, float]:
    """In a process of its own, forked from a server that has nothing but the imports behind it."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["open_clip", "eval.mini.provenance", "vljepa.objectives"])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        return pool.submit(measure, method, rows, width).result()


if __name__ == "__main__":
    main()
