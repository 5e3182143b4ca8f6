"""`vljepa caption`: images in words."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.captioning import caption_all, print_words, print_words_json
from vljepa.cli.options import (
    AllowUrlsOption,
    DecoderOption,
    DeviceOption,
    DtypeOption,
    FramesOption,
    JsonOption,
    MinConfidenceOption,
    ModelOption,
    NumBeamsOption,
    PathsFileOption,
)
from vljepa.cli.paths_file import with_paths_of


def caption(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH...]", help="Images, videos, folders, or quoted globs.", show_default=False),
    ] = None,
    paths_file: PathsFileOption = None,
    allow_urls: AllowUrlsOption = False,
    query: Annotated[str, typer.Option("--query", help="Ask this instead of describing.")] = "",
    min_confidence: MinConfidenceOption = 0.0,
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    frames: FramesOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Describe images in words.

    Example: vljepa caption photo.jpg holidays/ --json
    """
    found, skipped = caption_all(
        with_paths_of(images or [], paths_file),
        query=query,
        min_confidence=min_confidence,
        model=model,
        decoder=decoder,
        device=device,
        dtype=dtype,
        frames=frames,
        num_beams=num_beams,
        allow_urls=allow_urls,
    )
    if json:
        print_words_json(found, skipped, name="caption", query=query)
    else:
        print_words(found, name="caption")
