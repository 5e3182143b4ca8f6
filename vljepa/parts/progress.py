"""A bar on stderr for a fetch; stdout stays for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

FetchProgress = Callable[[str, int, int], None]
"""Called with what is being done, the bytes done, and the bytes in all (0: unknown)."""


@contextmanager
def fetch_bar() -> Iterator[FetchProgress]:
    """A rich progress bar; it shows itself on terminals only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        doing = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal doing
            if what != doing:
                doing = what
                bar.reset(task)
            bar.update(task, description=what, completed=min(done, total), total=total or None)

        yield show
