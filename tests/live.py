"""A live server in a process of its own that can be killed and started again, who reads, and standard input."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from eval.bench.live import ServerProcess


class LiveServer(ServerProcess):
    """Use it in a `with` block; its images are red, green and blue in turn, `seconds` each, by the wall's clock."""

    def __init__(self, *, seconds: float = 2.0, fps: int = 10) -> None:
        super().__init__(scene=seconds, fps=fps)
        self.seconds = seconds

    def address(self, path: str = "ts", *, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}/{path}"

    def halt(self) -> None:
        """SIGSTOP: connections stay open and nothing comes any more; `kill` ends it."""
        self._process.send_signal(signal.SIGSTOP)

    def scene(self, when: float) -> int:
        """Which of the three was shown at a time since the epoch."""
        return int(when / self.seconds) % 3


def frame_readers() -> list[threading.Thread]:
    """Threads of sources that are still being read."""
    return [thread for thread in threading.enumerate() if thread.name == "vljepa-frame-reader"]


@contextmanager
def file_as_input(path: Path) -> Iterator[None]:
    """A file is this process's standard input, as with `< path`."""
    with _input_from(os.open(path, os.O_RDONLY)):
        yield


@contextmanager
def standard_input(write: Callable[[IO[bytes]], Any]) -> Iterator[None]:
    """What `write` writes, in a thread, is this process's standard input."""
    reading, writing = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
            write(file)

    thread = threading.Thread(target=feed)
    try:
        with _input_from(reading):
            thread.start()
            yield
    finally:
        thread.join()


@contextmanager
def _input_from(descriptor: int) -> Iterator[None]:
    before = os.dup(0)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
