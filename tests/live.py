"""A local live server in a process of its own, that can be killed and started again at the same address."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

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
