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
from vljepa.errors import ConfigError, DataError
from vljepa.extras import require_extra
from vljepa.inference.embed import Embedder
from vljepa.inference.index.frame_parts import FrameParts
from vljepa.inference.index.manifest import SHARDS
from vljepa.inference.index.shard import open_table, write_table
from vljepa.inference.index.units import Unit, embed_unit
from vljepa.inference.reading import Progress

if TYPE_CHECKING:
    import pyarrow as pa

_TRIES = 4
"""How many workers may die over the same files."""

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
                _embed_and_keep(unit, embedder, settings, folder, progress=progress)
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

    A machine that is lost costs the units that it had in hand, which others do again. Files over which every worker
    dies end the run; Ray itself would begin them again for ever.

    Args:
        load: Makes the embedder, in each worker.
        settings: How videos are cut.
        workers: How many there are; None for one for each core, or each share of a GPU, of the cluster.
        gpus: Share of a GPU that each has for itself.
        progress: Called with the number of files done since the last call.

    Raises:
        ConfigError: Ray is not installed, or the cluster has not what each worker needs.
        DataError: A worker failed; what is done is kept.
    """
    require_extra("ray", "ray.data", user="--engine ray")

    def run(units: Sequence[Unit], folder: Path | None) -> Iterator[pa.Table]:
        if folder is None:
            raise ConfigError("a cluster has nowhere to keep what it embeds.", fix="give an output.")
        import ray
        from ray.exceptions import RayError

        _quiet()
        count = _workers(_join(), asked=workers, gpus=gpus, units=len(units))
        place, counts = folder.resolve(), {unit.name: len(unit.entries) for unit in units}
        for unit in units:
            _tries(place, unit).unlink(missing_ok=True)  # of an earlier run

        class Worker:
            """A model that stays loaded; what goes wrong is said by the row that it gives, and not left to Ray."""

            embedder: Embedder | None = None

            def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
                unit: Unit = pickle.loads(row["unit"])  # noqa: S301 - this run's own
                shard, tries = place / SHARDS / unit.name, _tries(place, unit)
                try:
                    if not shard.is_file():
                        with tries.open("ab") as file:
                            file.write(b".")
                        if tries.stat().st_size > _TRIES:
                            why = f"{_TRIES} workers died over {_named(unit)}, perhaps for want of memory"
                            return {"name": unit.name, "failure": why}
                        self.embedder = self.embedder or load()
                        _embed_and_keep(unit, self.embedder, settings, place)
                    tries.unlink(missing_ok=True)
                except Exception as error:
                    message = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
                    return {"name": unit.name, "failure": message}
                return {"name": unit.name, "failure": ""}

        jobs = ray.data.from_items(
            [{"unit": pickle.dumps(unit)} for unit in units], override_num_blocks=max(1, len(units))
        )
        done = jobs.map(
            Worker, compute=ray.data.ActorPoolStrategy(size=count), num_cpus=0 if gpus else 1, num_gpus=gpus
        )
        try:
            for row in done.iter_rows():
                if row["failure"]:
                    raise _failed(row["failure"])
                if progress is not None:
                    progress(counts[row["name"]])
        except RayError as error:
            raise _failed(str(error).strip().splitlines()[-1]) from error
        yield from _kept(units, folder)

    return run


def _join() -> list[dict[str, float]]:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine: what each machine has."""
    import ray

    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the Ray cluster cannot be joined: {str(error).strip().splitlines()[0]}",
            fix="check RAY_ADDRESS, and that the cluster runs (`ray status`).",
        ) from error
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _workers(machines: Sequence[dict[str, float]], *, asked: int | None, gpus: float, units: int) -> int:
    """How many workers there are to be; Ray would wait for ever for what no machine has."""
    what, each = ("GPU", gpus) if gpus else ("CPU", 1.0)
    there = [machine.get(what, 0.0) for machine in machines]
    room, most = sum(int(one / each) for one in there), max(there, default=0.0)  # a worker is on one machine
    if not room:
        raise ConfigError(
            f"each worker needs {each:g} {what}s, and no machine of the Ray cluster has more than {most:g}.",
            fix="leave --gpus out, or add machines to the cluster." if gpus else "add machines that have CPUs to it.",
        )
    return max(1, min(units, asked or room, room))


def _tries(folder: Path, unit: Unit) -> Path:
    """A file that has a byte for each worker that began this unit and is not through with it."""
    return folder / SHARDS / f"{unit.name}.tries"


def _named(unit: Unit) -> str:
    first, *others = (entry.path for entry in unit.entries)
    return f"{first!r}" + (f" or {len(others)} files beside it" if others else "")


def _failed(why: str) -> DataError:
    return DataError(
        f"a worker of the Ray cluster failed: {why.rstrip('.')}.",
        fix="mend it, and run the same command again: what is done is kept. All machines must see the files, the model "
        "and the output under the same paths.",
    )


def _quiet() -> None:
    """Of what Ray has to tell only what is wrong; the progress is ours."""
    import logging

    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _embed_and_keep(
    unit: Unit, embedder: Embedder, settings: SelectiveConfig, folder: Path, *, progress: Progress | None = None
) -> None:
    shards = folder / SHARDS
    write_table(embed_unit(unit, embedder, settings, shards=shards, progress=progress), shards / unit.name)
    if unit.video:
        FrameParts(shards, unit.name, width=embedder.model.config.embed_dim).forget()


def _kept(units: Sequence[Unit], folder: Path) -> Iterator[pa.Table]:
    for unit in units:
        file = folder / SHARDS / unit.name
        yield open_table(file)
