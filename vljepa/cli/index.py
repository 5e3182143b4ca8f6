"""`vljepa index`: embed pictures and videos once, to search them ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption, ModelOption
from vljepa.cli.output import note, note_skipped, print_json, progress


def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Pictures, videos, glob patterns, and folders with all below them."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The index file to write.")],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, help="Change between moments of a video; without it from validation."),
    ] = None,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Embed pictures and videos into one index file for `vljepa search`.

    A video (also an animated GIF or WebP) becomes moments: stretches of one meaning, with their start and end.

    Example: vljepa index pictures clip.mp4 -o my.index
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index_file import check_writable
    from vljepa.inference.media import find_media

    media = find_media(paths)
    check_writable(output)
    embedder = Embedder.from_pretrained(model, device=device)
    with progress("indexing", total=len(media)) as advance:
        built = Index.build(embedder.model, embedder.processor, paths, threshold=threshold, progress=advance)
    built.save(output)
    lost = [skipped for skipped in built.skipped if not skipped.partly]
    note_skipped([(skipped.path, skipped.reason) for skipped in lost], total=len(media), what="files")
    for skipped in built.skipped:
        if skipped.partly:
            note(f"only a part of {skipped.path} could be read: {skipped.reason}")
    moments = [entry.path for entry in built.entries if entry.start is not None]
    pictures, videos = len(built) - len(moments), len(set(moments))
    if json:
        unread = [{"path": one.path, "reason": one.reason, "partly": one.partly} for one in built.skipped]
        counts = {"pictures": pictures, "videos": videos, "moments": len(moments)}
        print_json({"index": str(output), "folder": str(built.folder), **counts, "skipped": unread})
    else:
        found = []
        if pictures:
            found.append(_count(pictures, "picture"))
        if moments:
            found.append(f"{_count(len(moments), 'moment')} of {_count(videos, 'video')}")
        print(f"{' and '.join(found)} in {output}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
