"""`vljepa index`: embed a folder of pictures once, to search it ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption, ModelOption
from vljepa.cli.output import note_skipped, print_json, progress


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of pictures, walked with all below it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The index file to write.")],
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Embed every picture of a folder into one index file for `vljepa search`.

    Example: vljepa index pictures -o pictures.index
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index_file import check_writable
    from vljepa.inference.pictures import walk

    total = len(walk(folder))
    check_writable(output)
    embedder = Embedder.from_pretrained(model, device=device)
    with progress("indexing", total=total) as advance:
        built = Index.build(embedder.model, embedder.processor, folder, progress=advance)
    built.save(output)
    note_skipped([(skipped.path, skipped.reason) for skipped in built.skipped], total=total)
    if json:
        unread = [{"path": skipped.path, "reason": skipped.reason} for skipped in built.skipped]
        print_json({"index": str(output), "pictures": len(built), "skipped": unread})
    else:
        print(f"{len(built)} pictures of {folder} in {output}")
