"""`vljepa demo`: a page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DecoderOption, DeviceOption, DtypeOption, ModelOption
from vljepa.cli.output import note
from vljepa.errors import ConfigError
from vljepa.extras import require_extra


def demo(
    model: ModelOption = "mini",
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="PATH",
            help="Folder of images and videos that visitors may search and see; may be given several times.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for every network that this machine is in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")] = 7860,
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Try a model in the browser: captions, questions, search, videos, a webcam, labels.

    Nothing leaves this machine, and without --host only this machine reaches the page.

    Example: vljepa demo --folder photos
    """
    require_extra("demo", "gradio", user="vljepa demo")
    for one in folder or ():
        if not one.is_dir():
            raise ConfigError(f"--folder: there is no folder {str(one)!r}.", fix="check the path.")
    from vljepa.inference.pipeline import load
    from vljepa.serving.page.desk import Desk
    from vljepa.serving.page.page import make_page, serve_page

    desk = Desk(load(model, device=device, dtype=dtype, decoder=decoder), name=model, folders=folder or ())
    serve_page(
        make_page(desk), desk, host=host, port=port, on_ready=lambda address: note(f"serving {model} at {address}")
    )
