"""How large an index gets, what faiss is to build for it, and how much one machine holds: arithmetic without a library.

Bytes of a row: 4 for each of its D numbers, and some 100 for its path and times. A graph of faiss (HNSW32) has its rows
once more, whole or one byte a number (SQ8), and 282 bytes of links each; inverted lists have D / 4 bytes and a number.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

EXACT_BELOW = 200_000
"""Rows under which exact search is as fast as anyone can see."""
IN_MEMORY = 0.25
"""Share of the machine's memory that a graph may take."""
_BESIDE = 100
_LINKS = 32 * 2 * 4 * 1.1
_NUMBER = 8


def machine_memory() -> int:
    """Bytes of this machine's memory; 8 GiB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def choose(count: int, width: int, *, memory: int | None = None) -> str | None:
    """What faiss is to build for so many rows, in its own words; None for exact search.

    HNSW over whole rows where a quarter of the memory is enough for it, over rows of one byte a number where that is
    not, and product quantisation with inverted lists beyond.

    Args:
        count: Rows.
        width: D.
        memory: Bytes of this machine; None to ask it.
    """
    if count < EXACT_BELOW:
        return None
    room = IN_MEMORY * (memory or machine_memory())
    for factory in ("HNSW32", "HNSW32,SQ8"):
        if count * faiss_bytes(factory, width) < room:
            return factory
    lists = 2 ** round(math.log2(4 * math.sqrt(count)))
    return f"IVF{lists},PQ{width // 4}"


def row_bytes(width: int) -> int:
    """On the disk, of a row and what is known of it."""
    return 4 * width + _BESIDE


def faiss_bytes(factory: str | None, width: int) -> float:
    """Of a row in an index of faiss, on the disk and in memory."""
    if factory is None:
        return 0.0
    if factory.startswith("IVF"):
        return width // 4 + _NUMBER
    return (width if factory.endswith("SQ8") else 4 * width) + _LINKS


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What so many images need.

    Args:
        count: Images.
        factory: What faiss would build; None for exact search.
        disk: Bytes, of the shards and of what faiss has.
        memory: Bytes of what faiss has.
    """

    count: int
    factory: str | None
    disk: float
    memory: float


def needed(count: int, width: int, *, memory: int | None = None) -> Needed:
    """What an index of so many images needs on a machine.

    Args:
        count: Images.
        width: Numbers of a row.
        memory: Bytes of the machine; None to ask it.
    """
    factory = choose(count, width, memory=memory)
    faiss = count * faiss_bytes(factory, width)
    return Needed(count=count, factory=factory, disk=count * row_bytes(width) + faiss, memory=faiss)


def most_on_disk(room: int, width: int, *, memory: int | None = None) -> int:
    """How many images a disk has room for, to two digits."""
    count = 0
    for step in (10**power for power in range(11, 3, -1)):
        while count + step <= 10**12 and needed(count + step, width, memory=memory).disk <= room:
            count += step
    return int(float(f"{count:.2g}"))


def most_in_graph(factory: str, width: int, *, memory: int | None = None) -> int:
    """Up to how many images a graph of faiss is built, to two digits."""
    return int(float(f"{IN_MEMORY * (memory or machine_memory()) / faiss_bytes(factory, width):.2g}"))
