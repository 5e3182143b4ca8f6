"""A stand-in for the Hugging Face hub, as its client sees it over HTTP: repositories with commits, files, refusals."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

_INFO = re.compile(r"^/api/models/(?P<repository>[^/]+/[^/]+)(/revision/(?P<revision>[^/?]+))?(\?.*)?$")
_TREE = re.compile(r"^/api/models/(?P<repository>[^/]+/[^/]+)/tree/(?P<revision>[^/?]+)(\?.*)?$")
_FILE = re.compile(r"^/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)(\?.*)?$")


class Hub(ThreadingHTTPServer):
    """Repositories and what happens to who asks.

    Attributes:
        commits: Of each repository, its commits and their folders; the last one is `main`.
        gated: Repositories that are refused.
        asked: Repositories that were asked for, in order.
        downloaded: Files that were sent, as `repository/file`.
        breaks: How many of the next files break off in the middle.
        address: Of this server.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, Path]] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []
        self.downloaded: list[str] = []
        self.breaks = 0
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def push(self, repository: str, folder: Path) -> str:
        """Make a folder the newest commit of a repository; gives its hash."""
        history = self.commits.setdefault(repository, {})
        commit = hashlib.sha1(f"{repository}{len(history)}".encode(), usedforsecurity=False).hexdigest()
        history[commit] = folder
        return commit

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to take this for the hub, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def _answer(self, *, body: bool) -> None:
        match = _TREE.match(self.path) or _INFO.match(self.path) or _FILE.match(self.path)
        assert match is not None, self.path
        repository = match["repository"]
        self.server.asked.append(repository)
        if repository in self.server.gated:
            self._refuse(403, "GatedRepo", f"Access to model {repository} is restricted.")
            return
        history = self.server.commits.get(repository)
        if history is None:
            self._refuse(401, "RepoNotFound", "Repository not found")
            return
        revision = match["revision"] or "main"
        commit = list(history)[-1] if revision == "main" else revision
        if commit not in history:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        if "file" in match.groupdict():
            self._file(repository, commit, history[commit] / match["file"], body=body)
            return
        files = sorted(one for one in history[commit].rglob("*") if one.is_file())
        names = [one.relative_to(history[commit]).as_posix() for one in files]
        if _TREE.match(self.path):
            self._json([_entry(one, name) for one, name in zip(files, names, strict=True)])
            return
        self._json({"id": repository, "modelId": repository, "sha": commit, "private": False, "tags": [],
                    "siblings": [{"rfilename": name} for name in names]})  # fmt: skip

    def _file(self, repository: str, commit: str, file: Path, *, body: bool) -> None:
        if not file.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        content = file.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return
        if self.server.breaks > 0 and file.suffix == ".safetensors":
            self.server.breaks -= 1
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content[start:])
        self.server.downloaded.append(f"{repository}/{file.name}")

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(file: Path, name: str) -> dict[str, Any]:
    oid = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": name, "size": file.stat().st_size, "oid": oid}


AnyHub = TypeVar("AnyHub", bound=Hub)


@contextmanager
def hub() -> Iterator[Hub]:
    """A stand-in that runs until the block ends."""
    with running(Hub()) as server:
        yield server


@contextmanager
def running(server: AnyHub) -> Iterator[AnyHub]:
    """Let a stand-in serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
