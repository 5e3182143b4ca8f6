"""`vljepa index`: embed pictures and videos once, to search them ever after."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption, ModelOption
from vljepa.cli.output import note, note_skipped, print_json, progress
from vljepa.errors import DataError, TextSpaceError

if TYPE_CHECKING:
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index


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
    again: Annotated[bool, typer.Option("--again", help="Embed unchanged files, too.")] = False,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Embed pictures and videos into one index file for `vljepa search`.

    A video (also an animated GIF or WebP) becomes moments: stretches of one meaning, with their start and end. Files
    that FILE has already and that have not changed are not embedded again. A run that was broken off goes on: it leaves
    what it has, at most a minute less, in FILE.part.

    Example: vljepa index pictures clip.mp4 -o my.index
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index_file import check_writable
    from vljepa.inference.media import find_media

    media = find_media(paths)
    check_writable(output)
    embedder = Embedder.from_pretrained(model, device=device)
    part = output.with_name(f"{output.name}.part")
    known = [] if again else _known(embedder, [output, part])
    with progress("indexing", total=len(media)) as advance:
        built = Index.build(
            embedder.model,
            embedder.processor,
            paths,
            threshold=threshold,
            known=known,
            keep=lambda so_far: so_far.save(part),
            progress=advance,
        )
    built.save(output)
    part.unlink(missing_ok=True)
    lost = [skipped for skipped in built.skipped if not skipped.partly]
    note_skipped([(skipped.path, skipped.reason) for skipped in lost], total=len(media), what="files")
    for skipped in built.skipped:
        if skipped.partly:
            note(f"only a part of {skipped.path} could be read: {skipped.reason}")
    moments = [entry.path for entry in built.entries if entry.start is not None]
    pictures, videos = len(built) - len(moments), len(set(moments))
    if json:
        unread = [{"path": one.path, "reason": one.reason, "partly": one.partly} for one in built.skipped]
        counts = {"pictures": pictures, "videos": videos, "moments": len(moments), "unchanged": built.unchanged}
        print_json({"index": str(output), "folder": str(built.folder), **counts, "skipped": unread})
    else:
        found = []
        if pictures:
            found.append(_count(pictures, "picture"))
        if moments:
            found.append(f"{_count(len(moments), 'moment')} of {_count(videos, 'video')}")
        same = f"; unchanged: {_count(built.unchanged, 'file')}" if built.unchanged else ""
        print(f"{' and '.join(found)} in {output}{same}")


def _known(embedder: Embedder, files: Sequence[Path]) -> list[Index]:
    """Those of earlier indexes that can be gone on from; another model's, for one, is simply made anew."""
    from vljepa.inference.index import Index

    found = []
    for file in files:
        with suppress(DataError, TextSpaceError):
            found.append(Index.load(embedder.model, embedder.processor, file))
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
