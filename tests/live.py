"""A live server in a process of its own that can be killed and started again, who reads, and standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

SERVER = Path(__file__).parents[1] / "eval" / "bench" / "live_server.py"


class LiveServer:
    """Use it in a `with` block; its pictures are red, green and blue in turn, `seconds` each, by the wall's clock."""

    def __init__(self, *, seconds: float = 2.0, fps: int = 10) -> None:
        self.port = 0
        self.seconds = seconds
        self._fps = fps
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    def address(self, path: str = "ts", *, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        command = [sys.executable, str(SERVER), "--port", str(self.port), "--fps", str(self._fps)]
        self._process = subprocess.Popen([*command, "--seconds", str(self.seconds)], stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """SIGKILL: no farewell to anyone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def halt(self) -> None:
        """SIGSTOP: connections stay open and nothing comes any more; `kill` ends it."""
        self._process.send_signal(signal.SIGSTOP)

    def scene(self, moment: float) -> int:
        """Which of the three was shown at a time since the epoch."""
        return int(moment / self.seconds) % 3


def frame_readers() -> list[threading.Thread]:
    """Threads of sources that are still being read."""
    return [thread for thread in threading.enumerate() if thread.name == "vljepa-frame-reader"]


@contextmanager
def file_as_input(path: Path) -> Iterator[None]:
    """A file is this process's standard input, as with `< path`."""
    before, reading = os.dup(0), os.open(path, os.O_RDONLY)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@contextmanager
def standard_input(write: Callable[[IO[bytes]], Any]) -> Iterator[None]:
    """What `write` writes, in a thread, is this process's standard input."""
    before = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
            write(file)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        thread.join()
