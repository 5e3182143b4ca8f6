"""`vljepa index`: embed images and videos once, to search them ever after."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import BackendOption, DeviceOption, DtypeOption, JsonOption, ModelOption
from vljepa.cli.output import note, note_passed_over, note_skipped, print_json, progress
from vljepa.errors import DataError, TextSpaceError

if TYPE_CHECKING:
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index


def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Images, videos, glob patterns, and folders with all below them."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The index file to write.")],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, help="Change between segments of a video; without it from validation."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Embed unchanged files, too.")] = False,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> int:
    """Embed images and videos into one index file for `vljepa search`.

    A video (also an animated GIF, WebP, AVIF or PNG) becomes segments: stretches of one meaning, with their start and
    end. Files that FILE has already and that have not changed are not embedded again. A file's content says what it is,
    not its name; what is neither an image nor a video is counted and named.

    Ctrl-C, SIGTERM and SIGUSR1 end it with all files that are done in FILE.part (exit code 130, 143 or 138), and the
    same command without --again goes on from there. The video, however long, or the few images in hand are begun
    anew. A run that was killed has also lost what was done in the minute before, at most.

    Example: vljepa index images clip.mp4 -o my.index
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index_file import check_writable, remove_unfinished
    from vljepa.inference.media import find_media
    from vljepa.training.stopping import StopRequest, StopSignals

    media = find_media(paths)
    part = output.with_name(f"{output.name}.part")
    check_writable(output)
    check_writable(part, unfinished=True)
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, backend=backend)
    known = [] if again else _known(embedder, [output, part])
    stop = StopSignals()
    with stop.listening():
        try:
            with stop.at_once(), progress("indexing", total=len(media)) as advance:
                built = Index.build(
                    embedder.model,
                    embedder.processor,
                    paths,
                    threshold=threshold,
                    known=known,
                    keep=lambda so_far: so_far.save(part),
                    progress=advance,
                )
        except StopRequest:
            note(f"stopped by {stop.name}" + (f": all that was done is in {part}" if part.exists() else ""))
            assert stop.received is not None
            return 128 + stop.received
        built.save(output)
        remove_unfinished(part)
    _report(built, output, total=len(media), json=json)
    return 0


def _report(built: Index, output: Path, *, total: int, json: bool) -> None:
    lost = [skipped for skipped in built.skipped if not skipped.partly]
    note_skipped([(skipped.path, skipped.reason) for skipped in lost], total=total, what="files")
    for skipped in built.skipped:
        if skipped.partly:
            note(f"only a part of {skipped.path} could be read: {skipped.reason}")
    note_passed_over(built.passed_over, what="images or videos")
    segments = [entry.path for entry in built.entries if entry.start is not None]
    images, videos = len(built) - len(segments), len(set(segments))
    if json:
        unread = [{"path": one.path, "reason": one.reason, "partly": one.partly} for one in built.skipped]
        counts = {"images": images, "videos": videos, "segments": len(segments), "unchanged": built.unchanged}
        about = {"index": str(output), "folder": str(built.folder)}
        print_json({**about, **counts, "skipped": unread, "passed_over": built.passed_over})
    else:
        found = []
        if images:
            found.append(_count(images, "image"))
        if segments:
            found.append(f"{_count(len(segments), 'segment')} of {_count(videos, 'video')}")
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
