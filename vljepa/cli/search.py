"""`vljepa search`: the images and segments of an index that are nearest to a text or to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import DeviceOption, DtypeOption, JsonOption, ModelOption
from vljepa.cli.output import note, print_heading, print_json, print_table
from vljepa.cli.stream_files import check_outputs

if TYPE_CHECKING:
    from vljepa.inference.index import Hit


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="File written by `vljepa index`.")],
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
    k: Annotated[int, typer.Option("-k", min=1, help="How many images and segments to list.")] = 10,
    per_video: Annotated[
        int | None, typer.Option("--per-video", min=1, help="List at most so many segments of one video.")
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", min=-1.0, max=1.0, help="List nothing whose cosine is below this.")
    ] = -1.0,
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
    json: JsonOption = False,
) -> None:
    """List the images and segments of an index that are nearest to a text or to an image, with their cosine.

    Scores compare images and segments under one query; those of a text query and of an image query are not on one
    scale. There is always a nearest one, also when nothing in the index is like the query: --min-score draws the line
    that suits your model and files.

    --html reads the images of the page from the folder that the index was made of, or from --folder, and says
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
    asked = the_query(query, text=text, image=image)
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype)
    loaded = Index.load(embedder.model, embedder.processor, index)
    hits = loaded.search(asked, k=k, per_video=per_video, min_score=min_score)
    if not hits:
        [nearest] = loaded.search(asked, k=1)
        note(f"nothing scores {min_score:g} or more; the nearest, {nearest.path}, has {nearest.score:.3f}")
    place = loaded.folder if folder is None else folder.resolve()
    if json:
        kind = "text" if isinstance(asked, str) else "image"
        print_json({"query": str(asked), "kind": kind, "folder": str(place), "hits": [asdict(hit) for hit in hits]})
    else:
        _print_hits(hits, heading=f"{str(asked)!r} in {place}")
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


def the_query(query: str | None, *, text: str | None, image: Path | None) -> str | Path:
    """A text, or the path of an image that is there.

    Args:
        query: What reads like a file is one; anything else is a text, also where a file of that name is there.
        text: A text in any case.
        image: A file in any case.

    Raises:
        ConfigError: Not exactly one of the three.
        ImageError: There is no such file.
    """
    from vljepa.errors import ConfigError

    given = [one for one in (query, text, image) if one is not None]
    if len(given) != 1:
        message = "nothing to search for" if not given else "more than one thing to search for"
        raise ConfigError(f"there is {message}.", fix="give one of QUERY, --text and --image.")
    if text is not None:
        return text
    if image is not None:
        return _existing(image, fix="check the path.")
    assert query is not None
    if _reads_like_a_file(query):
        return _existing(Path(query).expanduser(), fix="check the path, or search for the words with --text.")
    if _is_file(Path(query)):
        note(f"searching for the text {query!r}; for the image in the file of that name use --image")
    return query


def _reads_like_a_file(query: str) -> bool:
    from vljepa.processing.file_types import type_by_suffix

    path = Path(query)
    if query.startswith(("/", "./", "../", "~/")) or type_by_suffix(path.suffix) is not None:
        return True
    try:
        return len(path.parts) > 1 and path.parent.is_dir()
    except (OSError, ValueError):  # a text too long for a file name
        return False


def _existing(path: Path, *, fix: str) -> Path:
    from vljepa.errors import ImageError

    if not _is_file(path):
        raise ImageError(f"there is no image {str(path)!r}.", fix=fix)
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
