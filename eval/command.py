"""What the evaluations' command lines share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from vljepa.errors import VLJEPAError

CONSOLE = Console(stderr=True)


def say(text: str) -> None:
    """A line of progress."""
    CONSOLE.print(text, highlight=False, markup=False, soft_wrap=True)


def evaluation_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A command line for `python -m NAME`; the module's docstring is its help."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def report_parser(name: str) -> argparse.ArgumentParser:
    """The command line of `python -m NAME report`."""
    result = argparse.ArgumentParser(prog=f"python -m {name} report")
    result.add_argument("result", type=Path, help="JSON file of an evaluation")
    result.add_argument("--tables", type=Path, help="Markdown file to write; printed when absent")
    return result


def write_tables(text: str, file: Path | None) -> None:
    """Write a report's Markdown into a file, or print it."""
    if file is None:
        print(text)
    else:
        file.write_text(text, encoding="utf-8")


def named_folders(text: str) -> tuple[str, str]:
    """An argument NAME=FOLDER."""
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, folder


def run(work: Callable[[], dict[str, Any]], *, output: Path | None) -> int:
    """Do the work and write its result, to stdout without a file; the exit code. An error is said, not raised."""
    try:
        result = json.dumps(work(), indent=1)
    except VLJEPAError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    if output is None:
        print(result)
        return 0
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(result + "\n", encoding="utf-8")
    say(f"written: {output}")
    return 0
