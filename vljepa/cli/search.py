"""`vljepa search`: the pictures and moments of an index that are nearest to a text or to a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption, ModelOption
from vljepa.cli.output import note, print_heading, print_json, print_table
from vljepa.cli.stream_files import check_outputs

if TYPE_CHECKING:
    from vljepa.inference.index import Hit


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="File written by `vljepa index`.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A text, or the path of a picture.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures and moments to list.")] = 10,
    per_video: Annotated[
        int | None, typer.Option("--per-video", min=1, help="List at most so many moments of one video.")
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with a picture of each.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where the indexed files lie now; without it as the index says."),
    ] = None,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """List the pictures and moments of an index that are nearest to a text or to a picture, with their cosine.

    Scores compare pictures and moments under one query; those of a text query and of a picture query are not on one
    scale. --html reads the pictures of the page from the folder that the index was made of, or from --folder, and says
    which; a folder that a stranger's index names is not one that you chose.

    Example: vljepa search my.index "a red fish" --html fish.html
    """
    from vljepa.errors import DataError
    from vljepa.inference.contact_sheet import write_contact_sheet
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index

    check_outputs({"html": html})
    if folder is not None and not folder.is_dir():
        raise DataError(f"--folder: there is no folder {str(folder)!r}.", fix="name the one that the files lie in now.")
    asked = _picture_or_text(query)
    embedder = Embedder.from_pretrained(model, device=device)
    loaded = Index.load(embedder.model, embedder.processor, index)
    hits = loaded.search(asked, k=k, per_video=per_video)
    place = loaded.folder if folder is None else folder.resolve()
    if json:
        kind = "text" if isinstance(asked, str) else "picture"
        print_json({"query": query, "kind": kind, "folder": str(place), "hits": [asdict(hit) for hit in hits]})
    else:
        _print_hits(hits, heading=f"{query!r} in {place}")
    if html is not None:
        note(f"the pictures in {html} are read from {place}" + ("" if folder else ", the folder that the index names"))
        lacking = write_contact_sheet(
            Path(html),
            query=asked,
            hits=hits,
            folder=place,
            about=f"{len(hits)} of {len(loaded)} pictures and moments in {place}, model {model}",
            max_pixels=embedder.processor.config.x_encoder.image.max_pixels,
        )
        for reason in lacking:
            note(f"no picture in {html} of {reason}")


def _print_hits(hits: Sequence[Hit], *, heading: str) -> None:
    """A table; with a column of times where there is a moment among the hits."""
    from vljepa.inference.subtitles import span

    times = ["" if hit.start is None or hit.end is None else span(hit.start, hit.end) for hit in hits]
    timed = any(times)
    rows = [
        [str(rank), hit.path, *([time] * timed), f"{hit.score:.3f}"]
        for rank, (hit, time) in enumerate(zip(hits, times, strict=True), start=1)
    ]
    print_heading(heading)
    print_table(columns=["", "file", *(["time"] * timed), "score"], rows=rows)


def _picture_or_text(query: str) -> str | Path:
    """An existing file is a picture query; a word that looks like a file but is not there is a slip, not a text."""
    from vljepa.errors import ImageError
    from vljepa.inference.pictures import SUFFIXES

    path = Path(query)
    try:
        if path.is_file():
            return path
    except OSError:  # a text too long for a file name
        return query
    if path.suffix.lower() in SUFFIXES and " " not in query:
        raise ImageError(f"there is no picture {query!r}.", fix="check the path, or describe it in words.")
    return query
