"""`vljepa search --html`: the hits of a search as one self-contained page, each with its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.errors import DataError
from vljepa.inference.images import is_special
from vljepa.inference.index import Hit
from vljepa.inference.page import escaped, image_tag, render_page, write_page
from vljepa.inference.stream_stats import thumbnail
from vljepa.inference.subtitles import span
from vljepa.processing.image import open_image
from vljepa.processing.video import read_clip


@dataclass(frozen=True)
class _Shown:
    """A hit with its small JPEG, or the reason why there is none."""

    hit: Hit
    image: bytes | None
    lacking: str = ""


def write_contact_sheet(
    path: Path,
    *,
    query: str | Path,
    hits: Sequence[Hit],
    folder: Path,
    about: str,
    max_pixels: int,
    numbers: Sequence[str] | None = None,
    made_by: str = "vljepa search",
) -> list[str]:
    """Write the page; the file is complete or not there.

    Images and best frames are read from the indexed files, where these still are; a hit without one is shown by its
    name, and the page says why.

    Args:
        path: The file.
        query: What was asked: a text, or the file of an image, which is shown.
        hits: As `Index.search` returned them.
        folder: Where the indexed files are.
        about: A line below the query; whatever is in it is shown as text.
        max_pixels: Cap on width x height of what is read.
        numbers: Of the hits, as they are shown; None for their ranks.
        made_by: The command that the page names.

    Returns:
        Why hits have no image, once for each file of which that is so.

    Raises:
        DataError: The page cannot be written.
        ImageError: The query's image cannot be read.
    """
    shown = [_look(hit, folder, max_pixels) for hit in hits]
    labels = numbers or [str(rank) for rank in range(1, len(shown) + 1)]
    cards = [_card(one, rank, label) for rank, (one, label) in enumerate(zip(shown, labels, strict=True), start=1)]
    lacking = list(dict.fromkeys(f"{one.hit.path}: {one.lacking}" for one in shown if one.image is None))
    page = render_page(
        "contact_sheet.html",
        title=escaped(query if isinstance(query, str) else query.name),
        asked="" if isinstance(query, str) else image_tag(_small(query, max_pixels), alt="The query"),
        about=escaped(about),
        hits="\n".join(['<ol class="cards">', *cards, "</ol>"]),
        footer=f"Made by <code>{escaped(made_by)}</code>. Numbers are cosines, from -1 to 1.",
    )
    write_page(path, page)
    return lacking


def _look(hit: Hit, folder: Path, max_pixels: int) -> _Shown:
    path = folder / hit.path
    if is_special(path):
        return _Shown(hit, None, f"{str(path)!r} is not a regular file.")
    try:
        if hit.time is None:
            return _Shown(hit, _small(path, max_pixels))
        [image] = read_clip(path, shares=[0.0], start=hit.time, max_pixels=max_pixels)
    except DataError as error:
        return _Shown(hit, None, error.message)
    return _Shown(hit, thumbnail(image))


def _small(path: Path, max_pixels: int) -> bytes:
    return thumbnail(open_image(path, max_pixels=max_pixels))


def _card(shown: _Shown, rank: int, label: str) -> str:
    hit = shown.hit
    lacking = f'<p class="lacking">no image: {escaped(shown.lacking)}</p>' if shown.image is None else ""
    when = "" if hit.start is None or hit.end is None else span(hit.start, hit.end)
    return (
        f'<li class="card" id="hit-{rank}">{image_tag(shown.image, alt=hit.path)}<div class="words">'
        f'<a class="when" href="#hit-{rank}"><span>{escaped(label)}. {when}</span>'
        f'<span class="score">{hit.score:.3f}</span></a>'
        f'<p class="text" dir="auto">{escaped(hit.path)}</p>{lacking}</div></li>'
    )
