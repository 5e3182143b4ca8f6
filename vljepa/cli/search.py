"""`vljepa search`: the pictures of an index that are nearest to a text or to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption, ModelOption
from vljepa.cli.output import print_heading, print_json, print_table


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="File written by `vljepa index`.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A text, or the path of a picture.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures to list.")] = 10,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """List the pictures of an index that are nearest to a text or to a picture, with their cosine.

    Scores compare pictures under one query; those of a text query and of a picture query are not on one scale.

    Example: vljepa search pictures.index "a red fish"
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index

    asked = _picture_or_text(query)
    embedder = Embedder.from_pretrained(model, device=device)
    loaded = Index.load(embedder.model, embedder.processor, index)
    hits = loaded.search(asked, k=k)
    if json:
        found = [{"path": hit.path, "score": hit.score} for hit in hits]
        kind = "text" if isinstance(asked, str) else "picture"
        print_json({"query": query, "kind": kind, "folder": str(loaded.folder), "hits": found})
    else:
        rows = [[str(rank), hit.path, f"{hit.score:.3f}"] for rank, hit in enumerate(hits, start=1)]
        print_heading(f"{query!r} in {loaded.folder}")
        print_table(columns=["", "picture", "score"], rows=rows)


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
