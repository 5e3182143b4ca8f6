"""The skip budget: broken pictures are left out, counted and named, and too many of them stop the run."""

from __future__ import annotations

from collections.abc import Mapping

from vljepa.data.records import Visual
from vljepa.errors import DataError

NAMED = 5


def check_skipped(skipped: Mapping[Visual, str] | Mapping[str, str], *, total: int, tolerated: float) -> None:
    """Stop when more pictures than tolerated could not be read.

    Args:
        skipped: Reason per unreadable picture.
        total: Pictures that were tried.
        tolerated: Largest share that may be skipped, 0 to 1.

    Raises:
        DataError: With the count and the first names and reasons.
    """
    if len(skipped) > tolerated * total:
        raise DataError(
            f"{len(skipped)} of {total} pictures are unreadable, more than data.max_skipped = {tolerated:g} allows: "
            f"{name_skipped(skipped)}.",
            fix="mend or remove them, or raise data.max_skipped.",
        )


def name_skipped(skipped: Mapping[Visual, str] | Mapping[str, str]) -> str:
    """First few skipped pictures with their reasons, in one line."""
    named = [f"{path} ({reason})" for path, reason in list(skipped.items())[:NAMED]]
    more = len(skipped) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
