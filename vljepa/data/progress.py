"""A progress bar on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

ItemT = TypeVar("ItemT")


def track(items: Iterable[ItemT], *, what: str, total: int) -> Iterator[ItemT]:
    """Go through `items` with a bar on stderr that shows the time left; nothing is drawn for an empty job."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    hidden = total == 0 or not console.is_terminal
    yield from rich_track(items, description=what, total=total, console=console, disable=hidden, transient=True)
