"""`vljepa probe`: what a frozen encoder knows of labelled images or clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption
from vljepa.cli.output import note, note_skipped, print_json, print_table

SHOWN = 10
"""Confused pairs in the table."""


def probe(
    train: Annotated[str, typer.Argument(metavar="TRAIN", help="A folder per class, or a table of labels.")],
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder", "-e", help="BACKEND:NAME, a folder of `vljepa train` or of transformers, or a model."
        ),
    ],
    test: Annotated[str | None, typer.Option("--test", help="What is measured, like TRAIN.")] = None,
    validation: Annotated[
        str | None, typer.Option("--validation", help="What chooses the settings; without it a fifth of TRAIN.")
    ] = None,
    head: Annotated[str, typer.Option("--head", help="attentive, linear, flat (of all tokens) or knn.")] = "attentive",
    layers: Annotated[int, typer.Option("--layers", min=1, help="Of an attentive probe; V-JEPA 2 has 4.")] = 1,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of a clip.")] = 8,
    pool_grid: Annotated[
        int | None, typer.Option("--pool-grid", min=1, help="Average a frame's tokens to a grid of this side.")
    ] = None,
    lr: Annotated[list[float] | None, typer.Option("--lr", help="Learning rate; several are tried.")] = None,
    weight_decay: Annotated[
        list[float] | None, typer.Option("--weight-decay", help="Weight decay; several are tried.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training data.")] = 20,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples of a step.")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Of initialisation and order.")] = 0,
    cache: Annotated[Path, typer.Option("--cache", help="Folder for features, which are computed once.")] = Path(
        "cache/probes"
    ),
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train small probes on a frozen encoder's latents, choose one on validation data, and measure it.

    Classes are folders of images or videos, or the texts of a table with a column `image` or `video`.

    Example: vljepa probe pets/train --test pets/test -e timm:vit_small_patch14_dinov2.lvd142m
    Example: vljepa probe ssv2/train.csv --test ssv2/val.csv -e transformers:facebook/vjepa2-vitl-fpc64-256 --layers 4
    """
    from vljepa.training.probing import ProbeSettings
    from vljepa.training.probing import probe as run

    plain = ProbeSettings()
    settings = ProbeSettings(
        head=head,  # type: ignore[arg-type]  # refused there, with the others
        layers=layers,
        lrs=tuple(lr or plain.lrs),
        weight_decays=tuple(weight_decay or plain.weight_decays),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
    )
    result = run(
        train,
        encoder=encoder,
        test=test,
        validation=validation,
        frames=frames,
        pool_grid=pool_grid,
        settings=settings,
        cache=cache,
        device=device,
    )
    total = result.train + result.validation + (0 if result.chosen_on_test else result.test) + len(result.skipped)
    note_skipped(list(result.skipped.items()), total=total, what="images or clips")
    if json:
        print_json(result.as_dict())
        return
    chosen = ", ".join(f"{name} {value:g}" for name, value in result.chosen.items())
    rows = [
        ("top-1", f"{100 * result.accuracy:.1f}% ({100 * result.low:.1f} to {100 * result.high:.1f})"),
        ("chance", f"{100 / len(result.classes):.1f}%"),
        ("samples: training, validation, test", f"{result.train}, {result.validation}, {result.test}"),
        ("chosen on validation", f"{chosen} ({100 * result.validation_accuracy:.1f}%)"),
    ]
    print_table(columns=(f"{result.head} probe of {result.encoder}", "value"), rows=rows)
    confused = [(one, other, str(count)) for one, other, count in result.confused()[:SHOWN]]
    if confused:
        print_table(columns=("class", "taken for", "times"), rows=confused)
    if result.chosen_on_test:
        note("measured on the data that chose the settings, so a little too high: give --test")
