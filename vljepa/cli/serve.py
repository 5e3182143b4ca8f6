"""`vljepa serve`: a model behind an address."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from vljepa.cli.options import BackendOption, DecoderOption, DeviceOption, DtypeOption, ModelOption
from vljepa.cli.output import note
from vljepa.errors import ConfigError
from vljepa.extras import require_extra


def serve(
    model: ModelOption = "mini",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for every network that this machine is in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="VLJEPA_API_KEY", help="Answer only requests that carry this key."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", min=1, help="Pad embeddings with zeros to so many numbers; cosines stay as they are."),
    ] = None,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Largest request, in MiB.")] = 64,
    queue: Annotated[
        int,
        typer.Option("--queue", min=1, help="Requests in hand at once, those that wait included; others get a 429."),
    ] = 128,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds that a request may take; then it gets a 504.")
    ] = 60.0,
    index: Annotated[
        Path | None, typer.Option("--index", metavar="INDEX", help="Answer /search from this index of `vljepa index`.")
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch images by address, from the public internet only.")
    ] = False,
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="Append a line of JSON per request; - is stderr.")
    ] = None,
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
) -> None:
    """Serve embeddings, captions and answers in the shapes of OpenAI, llama.cpp, Ollama and immich.

    Images come in the requests: no file of this machine is read, and without --allow-urls no address is fetched.
    Without --host only this machine reaches the server; with one, give --api-key.

    Example: vljepa serve --model mini --port 8000
    """
    require_extra("serve", "fastapi", "prometheus_client", "python_multipart", "uvicorn", user="vljepa serve")
    if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ConfigError("--api-key is empty, or not plain characters without blanks.", fix="give another one.")
    from vljepa.inference.index import Index
    from vljepa.inference.pipeline import load
    from vljepa.serving.app import make_app
    from vljepa.serving.batching import Batcher
    from vljepa.serving.fetch import fetch_image
    from vljepa.serving.metrics import Metrics
    from vljepa.serving.server import address, listen, run
    from vljepa.serving.service import Service

    with opened(log) as lines, listen(host, port) as bound:
        pipeline = load(model, device=device, dtype=dtype, decoder=decoder, backend=backend)
        found = None if index is None else Index.load(pipeline.model, pipeline.processor, index)
        metrics = Metrics()
        service = Service(
            pipeline,
            name=model,
            width=width,
            index=found,
            fetch=fetch_image if allow_urls else None,
            timeout=timeout,
            batcher=Batcher(patience=timeout, on_batch=metrics.batch, on_death=metrics.death),
        )
        app = make_app(service, api_key=api_key, max_body=max_body * 2**20, queue=queue, metrics=metrics, log=lines)
        run(app, bound, on_ready=lambda: note(f"serving {service.name} at {address(bound)}"), log=lines)
        service.close()


@contextmanager
def opened(log: str | None) -> Iterator[TextIO | None]:
    """Where lines of JSON go: a file that is added to, stderr for `-`, nowhere for None.

    Raises:
        ConfigError: The file cannot be written.
    """
    if log is None or log == "-":
        yield None if log is None else sys.stderr
        return
    try:
        file = open(log, "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise ConfigError(f"--log: {log!r} cannot be written: {error.strerror}.", fix="name another file.") from error
    with file:
        yield file
