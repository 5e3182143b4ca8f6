"""Memory of this process, as Linux counts it in /proc; work in a process of its own; what a run's numbers come to."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np


def resident_mb() -> float:
    """What the process holds now, in MiB; its peak so far would hide what is needed next."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def count_peak_from_here() -> None:
    """Forget the peak so far."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """Most that the process has held since `count_peak_from_here`, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def apart(work: Callable[..., Any], *arguments: Any, preload: Sequence[str] = ()) -> Any:
    """What a function gives in a process of its own: a fork of this one, or of a server with `preload` imported."""
    context = get_context("forkserver" if preload else "fork")
    if preload:
        context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def course(samples: Sequence[tuple[float, float]], *, warm: float) -> dict[str, float]:
    """How a number went after the warm-up, a share of the time; samples are hours and the number."""
    after = [(when, value) for when, value in samples if when > warm * samples[-1][0]]
    hours, values = (np.array(column) for column in zip(*after, strict=True))
    return {
        "after_warm_up": round(float(values[0]), 1),
        "last": round(float(values[-1]), 1),
        "lowest": round(float(values.min()), 1),
        "highest": round(float(values.max()), 1),
        "slope_per_hour": round(float(np.polyfit(hours, values, 1)[0]), 3),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """Of seconds, to a millisecond."""
    return round(float(np.quantile(values, share)), 3)
