"""Lines of progress on stderr."""

from __future__ import annotations

from rich.console import Console

CONSOLE = Console(stderr=True)


def log(text: str) -> None:
    """A line of progress."""
    CONSOLE.print(text, highlight=False, markup=False, soft_wrap=True)
