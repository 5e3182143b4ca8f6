"""`vljepa new`: a dual encoder that exists becomes a VL-JEPA of its own, which can be trained, shared and exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.output import empty_folder, note, progress
from vljepa.errors import DataError

if TYPE_CHECKING:
    from vljepa.checkpoint.vl_jepa import VLJEPA

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
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="FOLDER", help="Measure where images and texts lie, for words later."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Save frozen parts too, for machines that lack them.")] = False,
) -> None:
    """Make a model of a dual encoder: it answers as that does, until something is learned on top.

    Example: vljepa new my-siglip --from transformers:google/siglip2-base-patch16-224 -o models/my-siglip
    """
    from vljepa.checkpoint.saving import model_card
    from vljepa.checkpoint.vl_jepa import VLJEPA

    folder = empty_folder(output or Path(name))
    model = VLJEPA.from_dual_encoder(start, predictor=None if predictor == _SCRATCH else predictor)
    if images is not None:
        _measure(model, images)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(model_card(model.config, name=name), encoding="utf-8")
    model.save_pretrained(folder, full=full)
    note(f"written: {folder}")
    note(f"next: vljepa classify IMAGE --labels a,b --model {folder}, or train it with `start: {folder}`")


def _measure(model: VLJEPA, folder: Path) -> None:
    """Fill in where images and texts lie.

    Raises:
        DataError: The folder has too few images that can be read.
    """
    from vljepa.configs import AlignedConfig
    from vljepa.inference.embed import Embedder
    from vljepa.inference.images import walk
    from vljepa.inference.modality import LEAST, measure_sides
    from vljepa.processing.processor import VLJEPAProcessor

    files, broken = walk(folder).files, []
    embedder = Embedder(model, VLJEPAProcessor(model.config))
    with progress("looking at images", total=len(files)) as advance:
        image, text = measure_sides(
            embedder, files, progress=advance, on_broken=lambda file, error: broken.append(file)
        )
    if len(files) - len(broken) < LEAST:
        raise DataError(
            f"{str(folder)!r} has {len(files) - len(broken)} images that can be read, too few for a mean.",
            fix=f"give a folder of at least {LEAST}, or leave --images out.",
        )
    assert isinstance(model.config.residual, AlignedConfig)
    model.config.residual = model.config.residual.model_copy(update={"image": image, "text": text})
