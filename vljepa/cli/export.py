"""`vljepa export`: a trained model as a folder of its own, adapters merged in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DecoderOption
from vljepa.cli.output import empty_folder, note
from vljepa.errors import ConfigError


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A preset, folder or hub repository.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; new or empty.")],
    merge: Annotated[bool, typer.Option("--merge", help="Add adapters to the matrices that they adapt.")] = False,
    decoder: DecoderOption = None,
    full: Annotated[bool, typer.Option("--full", help="Save frozen parts too, for machines that lack them.")] = False,
) -> None:
    """Save a model somewhere else: merged, with other words, or with everything in it.

    Example: vljepa export runs/lora_retrieval/best my_model --merge
    """
    from vljepa.checkpoint.vl_jepa import VLJEPA
    from vljepa.export.merge import merge as merged

    empty_folder(output)
    loaded = VLJEPA.from_pretrained(model)
    if decoder is not None:
        if loaded.adapters is not None and not merge:
            raise ConfigError("adapters carry no decoder of their own.", fix="add --merge.")
        loaded.load_decoder(decoder)
    if merge:
        loaded = merged(loaded)
    loaded.save_pretrained(output, full=full)
    note(f"written: {output}")
