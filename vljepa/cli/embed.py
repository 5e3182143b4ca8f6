"""`vljepa embed`: the embeddings of very many images and videos, by one process, many, or a cluster."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from vljepa.cli.index import exit_code, report, stopped
from vljepa.cli.options import (
    AgainOption,
    BackendOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    ThresholdOption,
)
from vljepa.cli.output import progress

Engine = Literal["local", "ray"]


def embed(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Images, videos, glob patterns, folders with all below them, and data files: tars, Parquet, "
            "JSON lines, CSV, hf:NAME:SPLIT.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the shards: an index.")],
    engine: Annotated[
        Engine, typer.Option("--engine", help="What does the work: this machine, or a cluster of Ray.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Models at work in a cluster; by default one for each core.")
    ] = None,
    gpus: Annotated[
        float, typer.Option("--gpus", min=0.0, help="Share of a GPU that each of them has for itself, such as 0.5.")
    ] = 0.0,
    threshold: ThresholdOption = None,
    again: AgainOption = False,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    backend: BackendOption = "torch",
    json: JsonOption = False,
) -> int:
    """Embed images and videos into shards that `vljepa search` opens, and `vljepa index` merges and makes quick.

    Everything that `vljepa index` says of what is known, changed, moved and interrupted holds here, too: a unit of work
    (512 images, or a video) is in DIR whole or not at all, and the same command goes on after a kill. DIR holds Arrow
    files of path, size, time, content hash, times of segments, and the embedding.

    `accelerate launch --num_processes 8 $(which vljepa) embed ...` shares the work among the GPUs of a machine;
    --engine ray shares it among all machines of the Ray cluster that RAY_ADDRESS names, or among the cores of this
    one. They give the same shards.

    Example: vljepa embed photos 'tars/*.tar' -o library
    Example: RAY_ADDRESS=auto vljepa embed photos -o library --engine ray --gpus 1
    """
    from vljepa.data.long_work import long_work
    from vljepa.data.processes import process_number
    from vljepa.errors import ConfigError
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index import Index
    from vljepa.inference.index.build import known_media
    from vljepa.inference.index.engines import on_ray
    from vljepa.inference.index.files import Files, find_files
    from vljepa.inference.index.lock import check_free
    from vljepa.inference.index.manifest import check_place
    from vljepa.inference.segments import segment_settings

    if engine == "local" and (workers is not None or gpus):
        raise ConfigError("--workers and --gpus are for --engine ray.", fix="add it, or leave them out.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu")
    check_place(output)
    if process_number() == 0:
        check_free(output)
    found = Files(folder=Path.cwd())
    with long_work("finding files"):  # the first of several processes finds them for all, for as long as it takes
        if process_number() == 0:
            found = find_files(sources, known=None if again else known_media(output))
    load = partial(Embedder.from_pretrained, model, device=device, dtype=dtype, backend=backend)
    embedder, built = load(), None
    with stopped() as stop:
        with stop.at_once(), progress("embedding", total=len(found)) as advance:
            cut = segment_settings(embedder.model, threshold=threshold)
            cluster = None if engine == "local" else on_ray(load, cut, workers=workers, gpus=gpus, progress=advance)
            built = Index.build(
                embedder.model,
                embedder.processor,
                found,
                output=output,
                threshold=threshold,
                again=again,
                engine=cluster,
                approximate="keep",
                progress=advance,
            )
        if process_number() == 0:
            report(built, output, total=len(found), json=json)
    return exit_code(stop, done=built is not None)
