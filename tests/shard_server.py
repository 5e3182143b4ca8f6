"""A web server over a folder, which counts what it is asked for and can be told to fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class ShardServer(ThreadingHTTPServer):
    """Serves `folder` under `address`.

    Attributes:
        asked: Names of the files that were asked for, in order.
        failures: How many of the next requests are answered with `code`.
        code: Status of a failure; 0 stops in the middle of the file, -1 says a length that is no number.
        location: Where a failure leads to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.failures = 0
        self.code = 503
        self.location = ""
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: ShardServer

    def do_GET(self) -> None:
        name = Path(urlsplit(self.path).path).name
        self.server.asked.append(name)
        if self.server.failures == 0:
            super().do_GET()
            return
        self.server.failures -= 1
        if self.server.code > 0:
            self.send_response(self.server.code)
            self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = (Path(self.directory) / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)) if self.server.code == 0 else "many")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@contextmanager
def serve(folder: Path) -> Iterator[ShardServer]:
    """A server in a thread, stopped at the end."""
    with ShardServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
