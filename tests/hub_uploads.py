"""The stand-in of the hub, taking uploads: repositories are made, large files go by LFS, small ones in the commit."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hub_stand_in import Hub, _Handler, running

_PREUPLOAD = re.compile(r"^/api/models/(?P<repository>[^/]+/[^/]+)/preupload/(?P<revision>[^/?]+)")
_COMMIT = re.compile(r"^/api/models/(?P<repository>[^/]+/[^/]+)/commit/(?P<revision>[^/?]+)")
_BATCH = re.compile(r"^/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_LARGE = (".safetensors", ".onnx")


class UploadHub(Hub):
    """See `Hub`.

    Attributes:
        folder: Where what is uploaded goes.
        tokens: Of who asked to write.
        made: What was asked of new repositories.
        refuses: Whether nobody may write.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.RequestHandlerClass = _UploadHandler
        self.folder = folder
        self.objects: dict[str, bytes] = {}
        self.tokens: list[str | None] = []
        self.made: list[dict[str, Any]] = []
        self.refuses = False


class _UploadHandler(_Handler):
    server: UploadHub

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.append(self.headers.get("Authorization"))
        if self.server.refuses:
            self._refuse(403, "Forbidden", "You don't have the rights to create a model under this namespace")
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif _PREUPLOAD.match(self.path):
            names = [one["path"] for one in json.loads(body)["files"]]
            modes = [
                {"path": one, "uploadMode": "lfs" if one.endswith(_LARGE) else "regular", "shouldIgnore": False}
                for one in names
            ]
            self._json({"files": modes, "commitOid": None})
        elif _BATCH.match(self.path):
            self._batch(json.loads(body))
        elif match := _COMMIT.match(self.path):
            self._commit(match["repository"], body)
        else:
            raise AssertionError(self.path)

    def do_PUT(self) -> None:  # noqa: N802
        oid = self.path.rsplit("/", 1)[-1]
        self.server.objects[oid] = self.rfile.read(int(self.headers["Content-Length"]))
        self._json({})

    def _create(self, asked: dict[str, Any]) -> None:
        self.server.made.append(asked)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        self._json({"url": f"{self.server.address}/{name}", "name": name, "id": name})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}", "header": {}}}}
            for one in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repository: str, body: bytes) -> None:
        target = self.server.folder / repository
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                continue
            file = target / value["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "lfsFile":
                file.write_bytes(self.server.objects[value["oid"]])
            else:
                assert line["key"] == "file", line
                file.write_bytes(base64.b64decode(value["content"]))
        commit = self.server.push(repository, target)
        self._json(
            {"success": True, "commitOid": commit, "commitUrl": f"{self.server.address}/{repository}/commit/{commit}"}
        )


@contextmanager
def upload_hub(folder: Path) -> Iterator[UploadHub]:
    """A stand-in that runs until the block ends."""
    with running(UploadHub(folder)) as server:
        yield server
