"""Memory of this process, as Linux counts it in /proc."""

from __future__ import annotations

import resource
from pathlib import Path


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
