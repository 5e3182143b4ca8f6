"""`vljepa serve` as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SERVE = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())", "serve", "--port", "0"]


@contextmanager
def serving(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; killed if the block leaves it.

    Args:
        options: More of the command line.
        environment: More of the environment.
    """
    env = {**os.environ, **(environment or {})}
    with subprocess.Popen([*SERVE, *options], stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.fullmatch(r"serving mini at (http://127\.0\.0\.1:\d+)\n", line)
            assert found, line + process.stderr.read()
            yield process, found[1]
        finally:
            process.kill()
