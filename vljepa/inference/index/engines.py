"""Who embeds the units of a build: this process, all processes of `accelerate launch`, or a Ray cluster.

What comes out is the same: a unit's table follows from its files, the model, and the number of threads that compute it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa.configs import SelectiveConfig
from vljepa.data.long_work import long_work
from vljepa.data.processes import process_count, process_number
from vljepa.errors import ConfigError
from vljepa.extras import require_extra
from vljepa.inference.embed import Embedder
from vljepa.inference.index.manifest import SHARDS
from vljepa.inference.index.shard import open_table, write_table
from vljepa.inference.index.units import Unit, embed_unit
from vljepa.inference.reading import Progress

if TYPE_CHECKING:
    import pyarrow as pa

Engine = Callable[[Sequence[Unit], Path | None], Iterator["pa.Table"]]
"""Embeds units, and gives their tables in order; where there is a folder, each is kept in it as soon as it is done."""


def in_this_process(embedder: Embedder, settings: SelectiveConfig, *, progress: Progress | None = None) -> Engine:
    """Units one after the other; of several processes that were launched together each does its share.

    Args:
        embedder: Model and processor.
        settings: How videos are cut.
        progress: Called with the number of files done since the last call.
    """

    def run(units: Sequence[Unit], folder: Path | None) -> Iterator[pa.Table]:
        if folder is None:
            yield from (embed_unit(unit, embedder, settings, progress=progress) for unit in units)
            return
        with long_work("embedding") as peers:
            for unit in peers.while_well(units[process_number() :: process_count()]):
                _keep(unit, embed_unit(unit, embedder, settings, progress=progress), folder)
        if process_number() == 0:
            yield from _kept(units, folder)

    return run


def on_ray(
    load: Callable[[], Embedder],
    settings: SelectiveConfig,
    *,
    workers: int | None = None,
    gpus: float = 0.0,
    progress: Progress | None = None,
) -> Engine:
    """Units on a cluster of Ray, all of whose machines see the files and the index under the same paths.

    A machine that is lost costs the units that it had in hand, which others do again.

    Args:
        load: Makes the embedder, in each worker.
        settings: How videos are cut.
        workers: How many there are; None for one for each core, or each share of a GPU, of the cluster.
        gpus: Share of a GPU that each has for itself.
        progress: Called with the number of files done since the last call.

    Raises:
        ConfigError: Ray is not installed.
    """
    require_extra("ray", "ray.data", user="--engine ray")

    def run(units: Sequence[Unit], folder: Path | None) -> Iterator[pa.Table]:
        if folder is None:
            raise ConfigError("a cluster has nowhere to keep what it embeds.", fix="give an output.")
        import ray

        _quiet()
        ray.init(ignore_reinit_error=True, log_to_driver=False)
        place, counts = folder.resolve(), {unit.name: len(unit.entries) for unit in units}

        class Worker:
            """A model that stays loaded."""

            def __init__(self) -> None:
                self.embedder = load()

            def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
                unit: Unit = pickle.loads(row["unit"])  # noqa: S301 - this run's own
                if not (place / SHARDS / unit.name).is_file():
                    _keep(unit, embed_unit(unit, self.embedder, settings), place)
                return {"name": unit.name}

        share = ray.cluster_resources().get("GPU", 0) / gpus if gpus else ray.cluster_resources()["CPU"]
        count = max(1, min(len(units), workers or int(share)))
        jobs = ray.data.from_items(
            [{"unit": pickle.dumps(unit)} for unit in units], override_num_blocks=max(1, len(units))
        )
        done = jobs.map(
            Worker, compute=ray.data.ActorPoolStrategy(size=count), num_cpus=0 if gpus else 1, num_gpus=gpus
        )
        for row in done.iter_rows():
            if progress is not None:
                progress(counts[row["name"]])
        yield from _kept(units, folder)

    return run


def _quiet() -> None:
    """Of what Ray has to tell only what is wrong; the progress is ours."""
    import logging

    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _keep(unit: Unit, table: pa.Table, folder: Path) -> None:
    write_table(table, folder / SHARDS / unit.name)


def _kept(units: Sequence[Unit], folder: Path) -> Iterator[pa.Table]:
    for unit in units:
        file = folder / SHARDS / unit.name
        yield open_table(file)
