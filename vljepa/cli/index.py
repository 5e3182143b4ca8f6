"""`vljepa index`: embed images and videos once, to search them ever after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vljepa.cli.duplicates import find_groups, groups_as_json, print_groups, write_sheet
from vljepa.cli.options import (
    AgainOption,
    BackendOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    ThresholdOption,
)
from vljepa.cli.output import note, note_passed_over, note_skipped, print_json, progress
from vljepa.cli.stream_files import check_outputs
from vljepa.errors import ConfigError

if TYPE_CHECKING:
    from vljepa.data.records import Visual
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.training.stopping import StopSignals


def index(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="INDEX", help="The index: a folder.")],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="Images, videos, glob patterns, folders with all below them, data files, and indexes to merge.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="GLOB",
            help="Instead of PATH: take the files of this name, and all in folders of it, out of INDEX.",
        ),
    ] = None,
    duplicates: Annotated[
        bool,
        typer.Option("--duplicates", help="List images of INDEX that look the same; without PATH of what is there."),
    ] = False,
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            min=0,
            max=31,
            help="With --duplicates: of 64 bits of two perceptual hashes, how many may differ; without it 12, tuned.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="With --duplicates: write a page of them.")
    ] = None,
    threshold: ThresholdOption = None,
    again: AgainOption = False,
    approximate: Annotated[
        str,
        typer.Option(
            "--approximate",
            metavar="FACTORY",
            help="What faiss builds: auto (none below 200,000 rows), none, keep (what is there, and new rows are "
            "searched exactly), or its own words, such as 'HNSW32,SQ8'.",
        ),
    ] = "auto",
    model: ModelOption = "mini",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> int:
    """Embed images and videos into an index for `vljepa search`.

    A video (also an animated GIF, WebP, AVIF or PNG) becomes segments: stretches of one meaning, with their start and
    end. Files that INDEX has already are not embedded again: those of the same size and time, and those that were
    moved or touched and have the same content. INDEX then holds the files that are named, and no others. A file's
    content says what it is, not its name; what is neither an image nor a video is counted and named.

    Ctrl-C, SIGTERM, SIGUSR1 and even a kill leave all units of work (512 images, or a video) that are done in INDEX
    (exit code 130, 143 or 138), and the same command without --again goes on from there. Until it is through, what
    was in INDEX before is what is searched.

    From 200,000 images and segments on, search is by an approximate index of faiss, whose share of the truly nearest
    is measured and shown.

    --remove takes files out of INDEX and off the disk that it is on; the files themselves stay, and come back when
    their folder is indexed again. What faiss has of INDEX is then built anew, unless --approximate is keep.

    --duplicates lists groups of images that look the same: scaled, compressed or slightly cropped copies, by
    perceptual hash and embedding (extra `duplicates`). It opens all images, and deletes nothing.

    Example: vljepa index images clip.mp4 -o my.index
    Example: vljepa index -o my.index --remove 'private' --remove '2019/*.gif'
    Example: vljepa index photos -o my.index --duplicates --html same.html
    """
    from vljepa.extras import require_extra
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index.build import known_media
    from vljepa.inference.index.files import find_files
    from vljepa.inference.index.lock import check_free
    from vljepa.inference.index.manifest import check_place

    check_place(output)
    check_free(output)
    _check_task(paths, remove, duplicates=duplicates, bits=bits, html=html)
    check_outputs({"html": None if html is None else str(html)})
    if duplicates:
        require_extra("duplicates", "imagehash", user="--duplicates")
    if not paths:
        embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, backend=backend)
        there = Index.load(embedder.model, embedder.processor, output)
        if remove is not None:
            _remove(there, remove, approximate=approximate, json=json)
        else:
            _report_duplicates(there, embedder, bits=bits, html=html, json=json)
        return 0
    found = find_files(paths, known=None if again else known_media(output))
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, backend=backend)
    built = None
    with stopped() as stop:
        with stop.at_once(), progress("indexing", total=len(found)) as advance:
            built = Index.build(
                embedder.model,
                embedder.processor,
                found,
                output=output,
                threshold=threshold,
                again=again,
                approximate=None if approximate == "none" else approximate,
                progress=advance,
            )
        report(built, output, total=len(found), json=json, silent=json and duplicates)
    if built is not None and duplicates:
        _report_duplicates(built, embedder, bits=bits, html=html, json=json, stored=found.stored)
    return exit_code(stop, done=built is not None)


def _check_task(
    paths: list[str] | None, remove: list[str] | None, *, duplicates: bool, bits: int | None, html: Path | None
) -> None:
    """Refuse what does not go together."""
    if remove is not None and (paths or duplicates):
        raise ConfigError("there is --remove with something else to do.", fix="give it alone.")
    if not paths and remove is None and not duplicates:
        raise ConfigError("there is nothing to index.", fix="give PATHs, --remove or --duplicates.")
    if not duplicates and (bits is not None or html is not None):
        raise ConfigError("--bits and --html are for --duplicates.", fix="add it, or leave them out.")


def _report_duplicates(
    index: Index,
    embedder: Embedder,
    *,
    bits: int | None,
    html: Path | None,
    json: bool,
    stored: Mapping[str, Visual] | None = None,
) -> None:
    groups = find_groups(index, index.folder, bits=bits, stored=stored)
    if json:
        print_json({**as_json(index), "approximate": _about(index), "duplicates": groups_as_json(groups)})
    else:
        print_groups(groups, folder=index.folder)
    if html is not None:
        write_sheet(html, groups, folder=index.folder, max_pixels=embedder.processor.config.x_encoder.image.max_pixels)


def _remove(index: Index, patterns: list[str], *, approximate: str, json: bool) -> None:
    removed = index.remove(patterns, approximate=None if approximate == "none" else approximate)
    if json:
        print_json({"index": str(index.place), "removed": removed, **_media(index), "approximate": _about(index)})
    else:
        print(f"removed: {_count(removed, 'file')}; {held(index)} in {index.place}")
        _print_approximate(index)


@contextmanager
def stopped(kept: str = "the same command goes on from what was done") -> Iterator[StopSignals]:
    """Inside, a signal ends what is done `at_once`, and that nothing is lost is said in these words."""
    from vljepa.training.stopping import StopRequest, StopSignals

    stop = StopSignals()
    with stop.listening():
        try:
            yield stop
        except StopRequest:
            note(f"stopped by {stop.name}: {kept}")


def exit_code(stop: StopSignals, *, done: bool) -> int:
    """0, or 128 and the number of the signal that ended it."""
    return 0 if done or stop.received is None else 128 + stop.received


def report(built: Index, output: Path, *, total: int, json: bool, silent: bool = False) -> None:
    """Say what an index holds, and what it could not read; `silent` leaves the former to somebody else."""
    lost = [skipped for skipped in built.skipped if not skipped.partly]
    note_skipped([(skipped.path, skipped.reason) for skipped in lost], total=total, what="files")
    for skipped in built.skipped:
        if skipped.partly:
            note(f"only a part of {skipped.path} could be read: {skipped.reason}")
    note_passed_over(built.passed_over, what="images or videos")
    if silent:
        return
    if json:
        print_json({**as_json(built), "approximate": _about(built)})
    else:
        others = {"unchanged": built.unchanged, "moved": built.moved, "gone": built.gone}
        rest = "".join(f"; {name}: {_count(number, 'file')}" for name, number in others.items() if number)
        print(f"{held(built)} in {output}{rest}")
        _print_approximate(built)


def as_json(built: Index) -> dict[str, Any]:
    """What an index holds, and what became of the files, as JSON values."""
    counts = {"unchanged": built.unchanged, "moved": built.moved, "gone": built.gone}
    unread = [{"path": one.path, "reason": one.reason, "partly": one.partly} for one in built.skipped]
    about = {"index": str(built.place), "folder": str(built.folder), **_media(built), **counts}
    return {**about, "skipped": unread, "passed_over": built.passed_over}


def _media(index: Index) -> dict[str, int]:
    return dict(index.entries.count_media()._asdict())


def held(index: Index) -> str:
    """What an index holds, in words."""
    count, found = index.entries.count_media(), []
    if count.images:
        found.append(_count(count.images, "image"))
    if count.segments:
        found.append(f"{_count(count.segments, 'segment')} of {_count(count.videos, 'video')}")
    return " and ".join(found)


def _print_approximate(index: Index) -> None:
    faiss = index.manifest.approximate
    if faiss is not None:
        print(f"searched by {faiss.factory}, which finds {faiss.recall:.1%} of the 10 nearest ({faiss.queries} texts)")


def _about(built: Index) -> dict[str, Any] | None:
    faiss = built.manifest.approximate
    return None if faiss is None else {"factory": faiss.factory, "recall": faiss.recall, "queries": faiss.queries}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
