"""What makes a forward pass quick on a CPU and has nothing to do with its result."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_GIB = 2**30


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep up to a gibibyte of freed memory instead of giving every large tensor back to the system.

    Each forward pass would otherwise page its activations in anew: half of the time of a small convolutional encoder
    (docs/LOG.md). Does nothing on other systems, and is done once per process.

    Returns:
        Whether the setting was taken.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(mallopt(option, _ONE_GIB) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
