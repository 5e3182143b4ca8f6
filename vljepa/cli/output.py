"""How the verbs speak: answers on stdout, everything else on stderr, progress only in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vljepa.errors import ConfigError

_UNBOUNDED = 1_000_000
"""Columns that no table has."""


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2))


def print_heading(heading: str) -> None:
    """A line above a table; never wrapped."""
    print(printable(heading))


def print_table(*, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; the last column is a number and aligned right.

    In a terminal long cells are folded into its width. In a file or a pipe they are not: a path is in one line.
    """
    table = Table()
    for number, column in enumerate(columns, start=1):
        table.add_column(column, justify="right" if number == len(columns) else "left", overflow="fold")
    for row in rows:
        # Text, not str: `[red]` in a file name is just a name.
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = max(1, Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum)
    console.print(table)


def empty_folder(path: Path) -> Path:
    """The path of a folder that is to be written.

    Raises:
        ConfigError: It is a file, or not empty.
    """
    if path.is_file():
        raise ConfigError(f"{str(path)!r} is a file.", fix="name a new folder.")
    if path.exists() and any(path.iterdir()):
        raise ConfigError(f"{str(path)!r} is not empty.", fix="name a new folder.")
    return path


def note(message: str) -> None:
    """One line on stderr."""
    print(printable(message), file=sys.stderr)


def note_skipped(skipped: Sequence[tuple[str, str]], *, total: int, what: str = "images") -> None:
    """Count and name what could not be read, on stderr."""
    if skipped:
        note(f"skipped {len(skipped)} of {total} {what}:")
        for path, reason in skipped:
            note(f"  {path}: {reason}")


def note_passed_over(files: Sequence[str | Path], *, what: str) -> None:
    """Count and name, on stderr, what lies in a folder and is none of what was looked for."""
    if files:
        from vljepa.inference.images import folded

        number = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        note(f"passed over {number} that are no {what}: {folded([Path(file) for file in files])}")


@contextmanager
def progress(description: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr while in a terminal; yields the function that moves it on.

    Args:
        description: What is being done.
        total: How many steps there are.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)


def printable(text: str) -> str:
    """`text` with control characters and broken bytes escaped: a file name must not steer the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
