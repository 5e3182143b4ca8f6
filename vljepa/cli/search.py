"""`vljepa search`: the images and segments of an index that are nearest to a text or to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vljepa.cli.addresses import Fetched, is_address
from vljepa.cli.options import AllowUrlsOption, BackendOption, DeviceOption, DtypeOption, JsonOption, ModelOption
from vljepa.cli.output import note, print_heading, print_json, print_table
from vljepa.cli.search_query import among, the_query, weighted
from vljepa.cli.stream_files import check_outputs

if TYPE_CHECKING:
    from vljepa.inference.index import Hit

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Made by `vljepa index`.")],
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="[QUERY]",
            help="An image where it reads like a file: ends as images do (.jpg), begins with / ./ ../ ~/, or lies "
            "in an existing folder. Otherwise a text.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Search for this text, whatever it reads like; instead of QUERY.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="Search by this image; instead of QUERY.")
    ] = None,
    plus: Annotated[
        list[str] | None,
        typer.Option(
            "--plus", metavar="[WEIGHT*]QUERY", help='Be like this, too: "sunset", or half as much "0.5*sunset".'
        ),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", metavar="[WEIGHT*]QUERY", help="Be unlike this; texts or images.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="GLOB", help="Only files, and all in folders, of this name: 'holiday/2019'."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="GLOB", help="Leave out files, and all in folders, of this name: '*.gif', 'old/2019'."
        ),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", help="Only files last changed then or later.", formats=TIMES)
    ] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Only files changed before.", formats=TIMES)] = None,
    media: Annotated[
        str | None, typer.Option("--media", metavar="images|videos", help="Only images, or only segments of videos.")
    ] = None,
    paths_file: Annotated[
        str | None,
        typer.Option("--paths-file", "-f", metavar="FILE", help="Only among files named there; - is a pipe."),
    ] = None,
    allow_urls: AllowUrlsOption = False,
    k: Annotated[int, typer.Option("-k", min=1, help="How many images and segments to list.")] = 10,
    per_video: Annotated[
        int | None, typer.Option("--per-video", min=1, help="List at most so many segments of one video.")
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", min=-1.0, max=1.0, help="List nothing whose cosine is below this.")
    ] = -1.0,
    none: Annotated[
        bool, typer.Option("--none", help="List nothing that is not likely to show what the text says.")
    ] = False,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with a picture of each.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where the indexed files lie now; without it as the index says."),
    ] = None,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> None:
    """List the images and segments of an index that are nearest to a text or to an image, with their cosine.

    Scores compare images and segments under one query; those of a text query and of an image query are not on one
    scale. There is always a nearest one, also when nothing in the index is like the query: --none leaves out what
    more likely does not show what a text says than shows it, by what was fitted on validation images; --min-score
    draws a line of your own.

    --plus and --minus move the query: its embedding and theirs are added up by their weights. --include, --exclude,
    --since, --until, --media and -f say among which files of the index the best are looked for.

    --html reads the images of the page from the folder that the index was made of, or from --folder, and says
    which; a folder that a stranger's index names is not one that you chose.

    Example: vljepa search my.index "a red fish" --html fish.html
    Example: vljepa search my.index "a beach" --plus "0.5*sunset" --minus people --exclude screenshots
    """
    from vljepa.errors import DataError
    from vljepa.inference.contact_sheet import write_contact_sheet
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index

    check_outputs({"html": html})
    if folder is not None and not folder.is_dir():
        raise DataError(f"--folder: there is no folder {str(folder)!r}.", fix="name the one that the files lie in now.")
    fetched = Fetched([query] if query is not None and is_address(query) else [], allowed=allow_urls)
    if fetched.words and image is None:
        query, image = None, Path(fetched.words[0])
    asked = the_query(query, text=text, image=image)
    more: dict[str, Any] = {
        "plus": [weighted(one) for one in plus or []],
        "minus": [weighted(one) for one in minus or []],
    }
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, backend=backend)
    loaded = Index.load(embedder.model, embedder.processor, index)
    place = loaded.folder if folder is None else folder.resolve()
    limits = {"include": include or (), "exclude": exclude or (), "since": since, "until": until, "media": media}
    more["among"] = among(loaded, place, paths_file=paths_file, **limits)
    hits = loaded.search(asked, k=k, per_video=per_video, min_score=min_score, none=none, **more)
    if not hits:
        for nearest in loaded.search(asked, k=1, **more):
            why = f"scores {min_score:g} or more" if nearest.score < min_score else "is likely to show it"
            note(f"nothing {why}; the nearest, {nearest.path}, has {nearest.score:.3f}")
    named = fetched.name(str(asked))
    if json:
        kind = "text" if isinstance(asked, str) else "image"
        print_json(
            {
                "query": named,
                "kind": kind,
                "folder": str(place),
                "hits": [asdict(hit) for hit in hits],
            }
        )
    else:
        _print_hits(hits, heading=f"{named!r} in {place}")
    if html is not None:
        note(f"the images in {html} are read from {place}" + ("" if folder else ", the folder that the index names"))
        lacking = write_contact_sheet(
            Path(html),
            query=asked,
            hits=hits,
            folder=place,
            about=f"{len(hits)} of {len(loaded)} images and segments in {place}, model {model}",
            max_pixels=embedder.processor.config.x_encoder.image.max_pixels,
        )
        for reason in lacking:
            note(f"no image in {html} of {reason}")


def _print_hits(hits: Sequence[Hit], *, heading: str) -> None:
    """A table; with a column of times where there is a segment among the hits."""
    from vljepa.inference.subtitles import span

    if not hits:
        print_heading(f"{heading}: nothing")
        return
    times = ["" if hit.start is None or hit.end is None else span(hit.start, hit.end) for hit in hits]
    timed = any(times)
    rows = [
        [str(rank), hit.path, *([time] * timed), f"{hit.score:.3f}"]
        for rank, (hit, time) in enumerate(zip(hits, times, strict=True), start=1)
    ]
    print_heading(heading)
    print_table(columns=["", "file", *(["time"] * timed), "score"], rows=rows)
