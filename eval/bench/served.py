"""Servers to be measured, in a process of their own: ``python eval/bench/served.py``; it prints its port.

Three applications on one model, by the first part of the path: `batched` (`vljepa serve` as it is), `single` (the same
with one request at a time), and `plain`: what one writes in an hour with FastAPI and torch, the same towers in a plain
function for each request. Those that are not asked cost nothing. SIGUSR1 kills the thread of the model of `batched`, as
a fault of a library would.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # as a script, this folder would stand there

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vljepa.inference.pipeline import Pipeline

KINDS = ("batched", "single", "plain")


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--queue", type=int, default=128)
    given = parser.parse_args()
    import uvicorn

    import vljepa
    from vljepa.serving.server import listen

    vl = vljepa.load(given.model)
    apps = [ours(vl, batched=True, queue=given.queue), ours(vl, batched=False, queue=given.queue), plain(vl)]
    bound = listen("127.0.0.1", 0)
    print(bound.getsockname()[1], flush=True)
    config = uvicorn.Config(
        ByPath(dict(zip(KINDS, apps, strict=True))), log_level="warning", access_log=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[bound])


class ByPath:
    """An ASGI application that hands a request to the one that the first part of its path names."""

    def __init__(self, apps: dict[str, FastAPI]) -> None:
        self._apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI calls it."""
        _, kind, rest = scope["path"].split("/", 2)
        await self._apps[kind]({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)


def ours(vl: Pipeline, *, batched: bool, queue: int) -> FastAPI:
    """The application of `vljepa serve`."""
    from vljepa.serving.app import make_app
    from vljepa.serving.batching import Batcher, Kind
    from vljepa.serving.metrics import Metrics
    from vljepa.serving.service import Service

    class OneByOne(Batcher):
        """Every request goes through the model by itself."""

        def submit(self, kind: Kind, items: Any) -> Any:
            return super().submit(Kind(kind.name, kind.run, 1, kind.options), items)

    metrics = Metrics()
    batcher = (Batcher if batched else OneByOne)(on_batch=metrics.batch, on_death=metrics.death)

    def kill(*_: object) -> None:
        thread = ctypes.c_ulong(batcher.thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(SystemExit))

    if batched:
        signal.signal(signal.SIGUSR1, kill)
    return make_app(Service(vl, name="mini", batcher=batcher), queue=queue, metrics=metrics)


def plain(vl: Pipeline) -> FastAPI:
    """The towers behind FastAPI: a function takes a request and runs the model, in FastAPI's own pool of threads."""
    from fastapi import Body, FastAPI

    app, embedder = FastAPI(), vl.embedder

    @app.post("/v1/embeddings")
    def embeddings(input: list[Any] = Body(embed=True), encoding_format: str = Body()) -> dict[str, Any]:  # noqa: B008
        assert encoding_format == "base64"
        if isinstance(input[0], str):
            rows = embedder.texts(input)
        else:
            rows = embedder.pairs([base64.b64decode(one["image"]) for one in input], [""] * len(input))
        data = [
            {"object": "embedding", "index": index, "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()}
            for index, row in enumerate(rows)
        ]
        return {"object": "list", "data": data, "model": "mini"}

    return app


class Served:
    """The process of the servers, from the start to the end of a `with`.

    Args:
        model: Preset, folder or repository.
        queue: Requests that ours take at once.
    """

    def __init__(self, *, model: str, queue: int = 128) -> None:
        self.port = 0
        self._command = [sys.executable, __file__, "--model", model, "--queue", str(queue)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *failure: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill_model(self) -> None:
        """Kill the thread of the model."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def resident_mb(self) -> float:
        """What the process holds, in MiB."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
