"""`vljepa new`: a dual encoder that exists becomes a VL-JEPA of its own, which can be trained, shared and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.output import empty_folder, note

_SCRATCH = "scratch"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model card calls it.")],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="The dual encoder: open_clip:ARCHITECTURE/TAG, transformers:OWNER/NAME, or the folder of either.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="New or empty; without it, NAME.")
    ] = None,
    predictor: Annotated[
        str,
        typer.Option("--predictor", help=f"Text transformer that learns the questions; {_SCRATCH} for a new one."),
    ] = "transformers:asset/minilm-l6-v2#4:6",
    full: Annotated[bool, typer.Option("--full", help="Save frozen parts too, for machines that lack them.")] = False,
) -> None:
    """Make a model of a dual encoder: it answers as that does, until something is learned on top.

    Example: vljepa new my-siglip --from transformers:google/siglip2-base-patch16-224 -o models/my-siglip
    """
    from vljepa.checkpoint.saving import model_card
    from vljepa.checkpoint.vl_jepa import VLJEPA

    folder = empty_folder(output or Path(name))
    model = VLJEPA.from_dual_encoder(start, predictor=None if predictor == _SCRATCH else predictor)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(model_card(model.config, name=name), encoding="utf-8")
    model.save_pretrained(folder, full=full)
    note(f"written: {folder}")
    note(f"next: vljepa classify IMAGE --labels a,b --model {folder}, or train it with `start: {folder}`")
