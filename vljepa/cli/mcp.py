"""`vljepa mcp`: tools for assistants, on folders that are named here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import BackendOption, DecoderOption, DeviceOption, DtypeOption, ModelOption

if TYPE_CHECKING:
    from vljepa.inference.pipeline import Pipeline


def mcp(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Whose images and videos may be read, with all below.")
    ],
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
) -> None:
    """Serve search, caption and ask to an assistant by the Model Context Protocol, over standard input and output.

    Only files below the folders are read: no other path, no link and no .. is followed, no address is fetched, and
    nothing is written.

    Example: vljepa mcp ~/photos ~/videos
    """
    from vljepa.integrations.allowed import AllowedFolders
    from vljepa.integrations.mcp_server import make_server

    def load() -> Pipeline:
        from vljepa.inference.pipeline import load as load_model

        return load_model(model, device=device, dtype=dtype, decoder=decoder, backend=backend)

    make_server(AllowedFolders(folders), load=load).run("stdio")
