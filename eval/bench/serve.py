"""What a server answers, how fast and under how much: ``python eval/run.py bench.serve``.

`vljepa serve` as it is, the same server with one request at a time, and a plain server of FastAPI and torch on the same
towers, asked in turn, so that what else the machine does meets all three. They are in one process, apart from the
clients; those that are not asked do nothing. Every answer is compared with the embedding that the model itself gives; a
wrong one counts as an error.

- `rates`: 1, 8 and 32 clients, each of which asks again as soon as it has its answer.
- `half_load`: requests at random times, half as many a second as 32 clients get answered.
- `overload`: four times as many as 32 clients get answered, for two minutes: refusals, delays and memory.
- `deaths`: the thread of the model is killed again and again while 8 clients ask.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from eval.bench.load import WRONG, Answers, Load, closed_loop, every, metric, open_loop
from eval.bench.memory import course
from eval.bench.served import KINDS, Served
from eval.core.charts import Line, lines
from eval.core.console import log
from vljepa.inference.embed import Rows

CLIENTS = (1, 8, 32)
CONNECTIONS = 160
"""Of the loads at random times."""
QUEUE = 32
"""Requests that the server takes at once where it is given too many."""


def measure(
    *,
    images: str = "examples/images",
    seconds: float = 8.0,
    rounds: int = 3,
    overload: float = 120.0,
    half: float = 30.0,
    deaths: int = 4,
    model: str = "mini",
    plot: str = "",
) -> dict[str, Any]:
    """Ask the servers.

    Args:
        images: Folder of JPEG files.
        seconds: Of each server, kind of request and number of clients, in each round.
        rounds: How often all of these are gone through.
        overload: Seconds of four times too much.
        half: Seconds at half load.
        deaths: How often the thread of the model is killed.
        model: Preset, folder or repository.
        plot: PNG file to draw.
    """
    loads, busy = make_loads(Path(images), model=model), os.getloadavg()[0]
    rates = interleaved(loads, model=model, seconds=seconds, rounds=rounds)
    if plot:
        Path(plot).write_bytes(drawn(rates))
    with Served(model=model) as server:
        calm = {load.name: at_half_load(server, load, rates[load.name], seconds=half) for load in loads}
    with Served(model=model, queue=QUEUE) as server:
        flood = {load.name: at_overload(server, load, rates[load.name], seconds=overload) for load in loads}
    with Served(model=model) as server:
        killed = under_deaths(server, loads[0], deaths=deaths)
    return {
        "model": model,
        "threads": os.environ.get("OMP_NUM_THREADS", "as torch chooses"),
        "processor_load": {"before": round(busy, 1), "after": round(os.getloadavg()[0], 1)},
        "seconds": seconds,
        "rounds": rounds,
        "rates": rates,
        "ratios": {name: ratios(found) for name, found in rates.items()},
        "half_load": calm,
        "overload": flood,
        "deaths": killed,
    }


def make_loads(images: Path, *, model: str) -> list[Load]:
    """Requests for the embedding of one image, and of one text, each with the right answer."""
    import vljepa

    vl = vljepa.load(model)
    files = sorted(images.glob("*.jpg"))
    things = ("cat", "dog", "rocket", "red car", "bowl of fruit", "tall building", "man on a bicycle", "sailing boat")
    texts = [f"a photo of a {thing} {where}" for thing in things for where in ("at night", "in the sun", "")]
    given: dict[str, tuple[Sequence[object], Rows]] = {
        "images": (
            [{"image": base64.b64encode(file.read_bytes()).decode()} for file in files],
            vl.encode(images=files),
        ),
        "texts": (texts, vl.encode(texts=texts)),
    }
    return [
        Load(name, [json.dumps({"input": [one], "encoding_format": "base64"}).encode() for one in inputs], rows)
        for name, (inputs, rows) in given.items()
    ]


def interleaved(loads: list[Load], *, model: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Rates and delays of each kind of request, server and number of clients."""
    found: dict[str, dict[str, dict[int, list[Answers]]]] = {
        load.name: {kind: {clients: [] for clients in CLIENTS} for kind in KINDS} for load in loads
    }
    with Served(model=model) as server:
        for load, kind in product(loads, KINDS):
            closed_loop(server.port, load, clients=8, seconds=1.0, kind=kind)  # the first batches of each size are slow
        for number, load, clients, kind in product(range(rounds), loads, CLIENTS, KINDS):
            answers = closed_loop(server.port, load, clients=clients, seconds=seconds, kind=kind)
            found[load.name][kind][clients].append(answers)
            log(f"{number + 1}/{rounds} {load.name}, {clients} clients, {kind}: {answers.figures()}")
    return {
        name: {
            kind: {str(clients): together(several).figures() for clients, several in levels.items()}
            for kind, levels in servers.items()
        }
        for name, servers in found.items()
    }


def together(several: list[Answers]) -> Answers:
    """The answers of several runs as those of one."""
    whole = Answers()
    for one in several:
        whole.seconds += one.seconds
        whole.delays += one.delays
        whole.statuses += one.statuses
    return whole


def ratios(rates: dict[str, Any]) -> dict[str, Any]:
    """How many times as many answers the server gives as each of the others, by clients."""
    return {
        f"to_{kind}": {
            clients: round(rates["batched"][clients]["per_second"] / figures["per_second"], 2)
            for clients, figures in rates[kind].items()
            if figures["per_second"]
        }
        for kind in KINDS[1:]
    }


def at_half_load(server: Served, load: Load, rates: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """Delays at half of what it can, against those of a client that is alone."""
    rate = rates["batched"]["32"]["per_second"] / 2
    alone = closed_loop(server.port, load, clients=1, seconds=seconds / 4).figures()
    found = open_loop(server.port, load, rate=rate, seconds=seconds, clients=CONNECTIONS).figures()
    log(f"half load, {load.name}: {found}")
    unloaded = alone["p50_ms"]
    return {"asked_per_second": round(rate, 1), "unloaded_p50_ms": unloaded, **found,
            "p99_to_unloaded_p50": round(found["p99_ms"] / unloaded, 2)}  # fmt: skip


def at_overload(server: Served, load: Load, rates: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """What comes of four times as many requests as it can answer."""
    rate, began = 4 * rates["batched"]["32"]["per_second"], time.monotonic()
    samples: list[tuple[float, float]] = [(0.0, server.resident_mb())]
    over = threading.Event()
    watching = every(1.0, lambda: samples.append(((time.monotonic() - began) / 3600, server.resident_mb())), until=over)
    answers = open_loop(server.port, load, rate=rate, seconds=seconds, clients=CONNECTIONS)
    over.set()
    watching.join()
    after = closed_loop(server.port, load, clients=1, seconds=2.0).figures()
    thirds = [sum(start <= when < start + seconds / 3 for when in answers.done) for start in
              (0.0, seconds / 3, 2 * seconds / 3)]  # fmt: skip
    log(f"overload, {load.name}: {answers.figures()}")
    return {
        "asked_per_second": round(rate, 1),
        "seconds": round(answers.seconds, 1),
        **answers.figures(),
        "answered_by_third": thirds,
        "share_refused": round(answers.statuses[429] / answers.statuses.total(), 3),
        "refusals_without_retry_after": answers.unasked,
        "wrong": answers.statuses[WRONG],
        "memory_mib": course(samples, warm=0.1),
        "after": after,
    }


def under_deaths(server: Served, load: Load, *, deaths: int) -> dict[str, Any]:
    """What clients see while the thread of the model is killed again and again, four seconds apart."""
    over = threading.Event()
    kills: list[float] = []
    began = time.perf_counter()

    def kill() -> None:
        if len(kills) < deaths:
            kills.append(time.perf_counter() - began)
            server.kill_model()

    killing = every(4.0, kill, until=over)
    answers = closed_loop(server.port, load, clients=8, seconds=4.0 * (deaths + 1))
    over.set()
    killing.join()
    back = [min((when - kill for when in answers.done if when > kill), default=None) for kill in kills]
    return {
        "kills": len(kills),
        "restarts": metric(server.port, "vljepa_model_restarts_total"),
        **answers.figures(),
        "wrong": answers.statuses[WRONG],
        "seconds_to_the_next_answer": [None if one is None else round(one, 3) for one in back],
        "after": closed_loop(server.port, load, clients=1, seconds=2.0).figures(),
    }


def drawn(rates: dict[str, Any]) -> bytes:
    """Answers a second by clients, a panel for each kind of request, as PNG."""
    names = {"batched": "vljepa serve", "single": "one at a time", "plain": "FastAPI + torch"}
    panels = [
        (
            name,
            "answers per second",
            [Line(names[kind], CLIENTS, [servers[kind][str(one)]["per_second"] for one in CLIENTS]) for kind in KINDS],
        )
        for name, servers in rates.items()
    ]
    return lines([panels], x="clients")
