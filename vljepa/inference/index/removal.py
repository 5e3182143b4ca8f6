"""Taking files out of an index: their rows are gone from its shards, not only from what is found.

Shapes: N entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError, DataError
from vljepa.inference.index.filters import Among
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.settle import Store, name_of

if TYPE_CHECKING:
    import pyarrow as pa


def matching(entries: Shards, patterns: Sequence[str]) -> NDArray[np.bool_]:
    """Entries [N] of the files that some patterns name.

    Args:
        entries: Of the index.
        patterns: As `Among.include`.

    Raises:
        ConfigError: There is none.
        DataError: One of them names no file, or together they name all.
    """
    if not patterns:
        raise ConfigError("there is nothing to remove.", fix="name files or folders; patterns work too.")
    gone = np.zeros(len(entries), dtype=bool)
    for pattern in patterns:
        found = Among(include=[pattern]).mask(entries)
        if not found.any():
            raise DataError(
                f"no file of the index matches {pattern!r}, so nothing was removed.",
                fix="give names, or paths from the indexed folder on, as `vljepa search` prints them.",
            )
        gone |= found
    if gone.all():
        raise DataError(
            f"{', '.join(patterns)} is all that the index holds, so nothing was removed.",
            fix="remove the folder of the index.",
        )
    return gone


def without(entries: Shards, gone: NDArray[np.bool_], *, store: Store) -> dict[str, pa.Table]:
    """The shards of an index without some entries, by name; only those that had some are written.

    Args:
        entries: Of the index.
        gone: What is taken out, [N].
        store: Keeps a shard.
    """
    left: dict[str, pa.Table] = {}
    for start, (name, table) in zip(entries.starts, entries.tables.items(), strict=False):
        kept = ~gone[start : start + len(table)]
        if kept.all():
            left[name] = table
        elif kept.any():
            rest = table.filter(kept).combine_chunks()
            left[name_of(rest)] = store(name_of(rest), rest)
    return left
