"""`vljepa serve`: a model behind an address."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.options import BackendOption, DecoderOption, DeviceOption, DtypeOption, ModelOption
from vljepa.cli.output import note
from vljepa.errors import ConfigError


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
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
) -> None:
    """Serve embeddings, captions and answers in the shapes of OpenAI, llama.cpp, Ollama and immich.

    Images come in the requests: no address is fetched and no file of this machine is read. Without --host only this
    machine reaches the server; with one, give --api-key.

    Example: vljepa serve --model mini --port 8000
    """
    _require_extra()
    if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ConfigError("--api-key is empty, or not plain characters without blanks.", fix="give another one.")
    from vljepa.inference.pipeline import load
    from vljepa.serving.app import make_app
    from vljepa.serving.server import address, listen, run
    from vljepa.serving.service import Service

    with listen(host, port) as bound:
        pipeline = load(model, device=device, dtype=dtype, decoder=decoder, backend=backend)
        service = Service(pipeline, name=model, width=width)
        app = make_app(service, api_key=api_key, max_body=max_body * 2**20)
        run(app, bound, on_ready=lambda: note(f"serving {service.name} at {address(bound)}"))


def _require_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"vljepa serve needs {error.name!r}, which is not installed.", fix='pip install "vljepa-torch[serve]".'
        ) from error
