"""What a run says while it runs: a JSONL log on disk, and a progress bar or plain lines on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vljepa.errors import CheckpointError

LOG_FILE = "log.jsonl"


class RunLog:
    """One JSON object per line: `kind` (start, train, validation, end), `step`, and what was measured.

    Args:
        folder: Of the run.
        step: Where the run goes on; lines of later steps, left by a run that was cut off, are dropped.
        silent: Write nothing: another process of the run does.
        forward: Takes the numbers of each line too, as `kind/name`, and the step: trackers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: int,
        silent: bool = False,
        forward: Callable[[dict[str, float], int], None] | None = None,
    ) -> None:
        self.path = folder / LOG_FILE
        self.silent = silent
        self._forward = forward
        if silent:
            return
        kept = [line for line in read_log(folder) if line["step"] <= step] if step else []
        half = self.path.with_suffix(".part")
        with writing(self.path):
            half.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            half.replace(self.path)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one line."""
        if self.silent:
            return
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        if self._forward is not None:
            numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
            self._forward({f"{kind}/{name}": float(value) for name, value in numbers.items()}, step)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, a disk that is full or may not be written is an error that says what to do.

    Raises:
        CheckpointError: With the path.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write {str(path)!r}: {error}.", fix="free some space, or make the folder writable."
        ) from error


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a run's log; a last line that was cut off is left out."""
    path = folder / LOG_FILE
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def announce(text: str) -> None:
    """Print one line on stderr, outside of a run."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


class Monitor:
    """Progress with throughput and time left: a bar on a terminal, else a line per report.

    Args:
        start: First step.
        steps: Length of the run.
        silent: Show nothing: another process of the run does.
    """

    def __init__(self, *, start: int, steps: int, silent: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.start, self.steps = start, steps
        self.console = Console(stderr=True, highlight=False, quiet=silent)
        self._live = self.console.is_terminal and not silent
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("training", total=steps, completed=start, status="")
        self._began = self._now = time.monotonic()
        self._samples = 0

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        self._began = self._now = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def count(self, step: int, samples: int) -> None:
        """One step is done."""
        self._samples += samples
        self._bar.update(self._task, completed=step + 1)

    def throughput(self) -> float:
        """Samples per second since the last call."""
        elapsed, self._now = time.monotonic() - self._now, time.monotonic()
        rate, self._samples = self._samples / max(elapsed, 1e-9), 0
        return rate

    def report(self, step: int, status: str) -> None:
        """Show the state of the run; off a terminal also the time left."""
        if self._live:
            self._bar.update(self._task, status=status)
            return
        done = step + 1 - self.start
        left = (time.monotonic() - self._began) / max(done, 1) * (self.steps - step - 1)
        self.say(f"step {step + 1}/{self.steps}  {status}  {left / 60:.1f} min left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, soft_wrap=True)
