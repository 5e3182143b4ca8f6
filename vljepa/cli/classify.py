"""`vljepa classify`: which of these labels does each image show?"""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.choosing import as_json, choose_over, listed, print_predictions
from vljepa.cli.options import (
    AllowUrlsOption,
    BackendOption,
    DeviceOption,
    DtypeOption,
    FramesOption,
    JsonOption,
    LabelsFileOption,
    MinConfidenceOption,
    ModelOption,
    PathsFileOption,
    TopKOption,
)
from vljepa.cli.output import print_json
from vljepa.cli.paths_file import with_paths_of


def classify(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE...]", help="Images, videos, folders or glob patterns.", show_default=False),
    ] = None,
    paths_file: PathsFileOption = None,
    allow_urls: AllowUrlsOption = False,
    labels: Annotated[str | None, typer.Option("--labels", help="Names to choose from, separated by commas.")] = None,
    labels_file: LabelsFileOption = None,
    none: Annotated[
        bool,
        typer.Option(
            "--none", help="It may be none of the labels: say how likely that is, and none where it is the likelier."
        ),
    ] = False,
    template: Annotated[
        list[str] | None,
        typer.Option("--template", help='Text around a name, such as "a photo of a {}."; several are averaged.'),
    ] = None,
    min_confidence: MinConfidenceOption = 0.0,
    top_k: TopKOption = 5,
    model: ModelOption = "mini",
    frames: FramesOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> None:
    """Say which of the labels each image shows, with calibrated probabilities.

    One label is always the likeliest, also of an image that shows something else: --none says so, and
    --min-confidence abstains where no label is likely enough.

    Example: vljepa classify photo.jpg --labels cat,dog,horse --none
    """
    from vljepa.inference.classify import classify as run

    names = listed(labels, labels_file, option="--labels", verb="classify")
    predictions, skipped = choose_over(
        with_paths_of(images or [], paths_file),
        model=model,
        device=device,
        dtype=dtype,
        frames=frames,
        backend=backend,
        allow_urls=allow_urls,
        call=run,
        labels=names,
        none=none,
        templates=template or None,
        min_confidence=min_confidence,
    )
    if json:
        results = as_json(predictions, name="label", top_k=top_k)
        print_json({"predictions": results, "skipped": [{"path": path, "reason": why} for path, why in skipped]})
    else:
        print_predictions(predictions, name="label", top_k=top_k)
