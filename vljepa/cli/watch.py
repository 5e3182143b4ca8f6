"""`vljepa watch`: keep an index fresh while files come, change and go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.index import as_json, held, stopped
from vljepa.cli.options import BackendOption, DeviceOption, DtypeOption, JsonOption, ModelOption, ThresholdOption
from vljepa.cli.output import note


def watch(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders with all below them; they may come later, and go."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="INDEX", help="The index: a folder.")],
    quiet: Annotated[
        float,
        typer.Option("--quiet", min=0.0, help="Seconds without a change after which a file counts as written."),
    ] = 2.0,
    threshold: ThresholdOption = None,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> int:
    """Keep an index fresh: embed the files of folders that are new or have changed, and drop those that are gone.

    Needs the extra `watch`. At the start all is brought up to date, as by `vljepa index`; after that, the system tells
    of changes, and a file counts when nothing has happened to it for --quiet seconds. While a folder is not there, the
    index stays as it is. A line is printed for every change of INDEX; with --json, one JSON object in a line.

    Ctrl-C and SIGTERM end it, with exit code 0; what is done is kept. Network drives tell of nothing that others
    change: for those run `vljepa index` by the clock.

    Example: vljepa watch photos -o my.index
    """
    import json as json_module

    from vljepa.errors import DataError
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index.changes import Changes
    from vljepa.inference.index.fresh import keep_fresh
    from vljepa.inference.index.lock import check_free
    from vljepa.inference.index.manifest import check_place

    check_place(output)
    check_free(output)
    Changes(folders, leave_out=output)  # is watchdog there?
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, backend=backend)
    with stopped(kept=f"{output} keeps all that is done") as stop, stop.at_once():
        note(f"watching {', '.join(map(str, folders))}; Ctrl-C ends")
        for found in keep_fresh(
            embedder.model, embedder.processor, folders, output=output, quiet=quiet, threshold=threshold
        ):
            if isinstance(found, DataError):
                note(str(found))
            elif found.changed:
                index, embedded = found.index, found.embedded
                for one in index.skipped:
                    could = f"only a part of {one.path} could" if one.partly else f"{one.path} could not"
                    note(f"{could} be read: {one.reason}")
                if json:
                    print(json_module.dumps({**as_json(index), "embedded": embedded}), flush=True)
                else:
                    print(f"{held(index)} in {output}{_counts(embedded, index.moved, index.gone)}", flush=True)
    return 0


def _counts(embedded: int, moved: int, gone: int) -> str:
    counts = {"embedded": embedded, "moved": moved, "gone": gone}
    return "".join(f"; {name}: {count} file{'' if count == 1 else 's'}" for name, count in counts.items() if count)
