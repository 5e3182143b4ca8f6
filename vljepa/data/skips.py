"""The skip budget: what cannot be used is left out, counted and named, and too much of it stops the run."""

from __future__ import annotations

from collections.abc import Mapping

from vljepa.data.records import Visual
from vljepa.errors import DataError

NAMED = 5


def check_skipped(
    skipped: Mapping[Visual, str] | Mapping[str, str], *, total: int, tolerated: float, what: str = "images"
) -> None:
    """Stop when more than tolerated could not be used; one is in any dataset, however small.

    Args:
        skipped: Reason per image or row.
        total: Images or rows that were tried.
        tolerated: Largest share that may be skipped, 0 to 1; 0 for none at all.
        what: What is counted.

    Raises:
        DataError: With the count and the first names and reasons.
    """
    if exceeds(len(skipped), total=total, tolerated=tolerated):
        raise DataError(
            f"{len(skipped)} of {total} {what} are unreadable, more than data.max_skipped = {tolerated:g} allows: "
            f"{name_skipped(skipped)}.",
            fix="mend or remove them, or raise data.max_skipped.",
        )


def exceeds(count: int, *, total: int, tolerated: float) -> bool:
    """Whether more than the tolerated share is unusable, and more than the one that always is.

    Examples:
        >>> exceeds(1, total=3, tolerated=0.01), exceeds(2, total=3, tolerated=0.01), exceeds(1, total=3, tolerated=0)
        (False, True, True)
    """
    return count > max(tolerated * total, float(tolerated > 0))


def name_skipped(skipped: Mapping[Visual, str] | Mapping[str, str]) -> str:
    """First few that were skipped with their reasons, in one line."""
    named = [f"{path} ({reason})" for path, reason in list(skipped.items())[:NAMED]]
    more = len(skipped) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
