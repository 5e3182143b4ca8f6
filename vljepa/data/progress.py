"""A progress bar on a terminal, one line elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from vljepa.data.processes import process_number

ItemT = TypeVar("ItemT")


def track(items: Iterable[ItemT], *, what: str, total: int) -> Iterator[ItemT]:
    """Go through `items` with a bar on stderr that shows the time left; nothing is said about an empty job.

    Of several processes of a run the first one speaks.
    """
    if process_number() > 0:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    bar = total > 0 and console.is_terminal
    if total > 0 and not bar:
        console.print(f"{what}: {total}", highlight=False)
    yield from rich_track(items, description=what, total=total, console=console, disable=not bar, transient=True)
