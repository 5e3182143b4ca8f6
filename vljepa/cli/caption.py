"""`vljepa caption`: pictures in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vljepa.cli.options import DecoderOption, DeviceOption, JsonOption, ModelOption, NumBeamsOption
from vljepa.cli.output import note_skipped, print_json, print_table, progress

if TYPE_CHECKING:
    from vljepa.errors import ImageError
    from vljepa.inference.caption import Caption
    from vljepa.processing.processor import Picture


def caption(
    pictures: Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures, folders, or quoted globs.")],
    query: Annotated[str, typer.Option("--query", help="Ask this instead of describing.")] = "",
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Describe pictures in words.

    Example: vljepa caption photo.jpg holidays/ --json
    """
    with captions_of(pictures, query=query, model=model, decoder=decoder, device=device, num_beams=num_beams) as (
        said,
        skipped,
    ):
        found = list(said)
    note_skipped(skipped, total=len(found) + len(skipped))
    if json:
        captioned = [{"image": one.image, "text": one.text, "agreement": one.agreement} for one in found]
        unread = [{"path": path, "reason": why} for path, why in skipped]
        print_json({"query": query, "captions": captioned, "skipped": unread})
    else:
        print_captions(found, name="caption")


@contextmanager
def captions_of(
    words: list[str], *, query: str, model: str, decoder: str | None, device: str | None, **options: Any
) -> Iterator[tuple[Iterator[Caption], list[tuple[str, str]]]]:
    """Captions of all pictures that the words stand for, one by one, and the list that unreadable ones go to.

    Raises:
        VLJEPAError: No such picture, model, decoder or device, or not one picture that can be read.
    """
    from vljepa.inference.caption import captions
    from vljepa.inference.embed import Embedder
    from vljepa.inference.pictures import expand

    files = expand(words)
    embedder = Embedder.from_pretrained(model, device=device, decoder=decoder)
    skipped: list[tuple[str, str]] = []
    broken: list[ImageError] = []

    def on_broken(picture: Picture, error: ImageError) -> None:
        skipped.append((str(picture), error.message))
        broken.append(error)

    with progress("looking at pictures", total=len(files)) as advance:
        yield captions(embedder, files, query=query, progress=advance, on_broken=on_broken, **options), skipped
    if len(broken) == len(files):
        raise broken[0]


def print_captions(found: list[Caption], *, name: str) -> None:
    """Captions as a table."""
    rows = [[one.image, one.text, f"{one.agreement:.2f}"] for one in found]
    print_table(columns=["picture", name, "agreement"], rows=rows)
