"""The live server in a process of its own, for benchmarks that follow it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

from eval.bench import live_server


class ServerProcess:
    """Runs from the start to the end of a `with`; red, green and blue without a folder of JPEG files.

    `port` is where it listens, also after `start` was called again.
    """

    def __init__(self, images: Path | None = None, *, scene: float, fps: int = 10) -> None:
        self.port = 0
        self._command = [sys.executable, live_server.__file__, "--seconds", str(scene), "--fps", str(fps)]
        self._command += [] if images is None else ["--images", str(images)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it with SIGKILL, where it runs: no farewell to anyone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
