"""Clients of a server: so many, each with one request after the other; or so many requests a second, come what may."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vljepa.inference.embed import Rows

WRONG = 599
"""In place of the status of an answer whose embedding is not the right one."""


@dataclass
class Load:
    """Requests of one kind, with what is right.

    Args:
        name: "texts" or "images".
        bodies: JSON of each request.
        rows: The embedding [D] that belongs to each.
    """

    name: str
    bodies: Sequence[bytes]
    rows: Rows


@dataclass
class Answers:
    """What came back.

    Args:
        seconds: That it took in all.
        delays: Of each good answer, in seconds; from when the request was due.
        statuses: How many answers of each status; 0 is a broken connection.
        done: When each good answer came, in seconds from the start.
        unasked: How many refusals did not say when to come again.
    """

    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    done: list[float] = field(default_factory=list)
    unasked: int = 0

    def figures(self) -> dict[str, Any]:
        """Rates and quantiles; milliseconds."""
        many = bool(self.delays)
        p50, p99 = np.quantile(self.delays, (0.5, 0.99)) * 1000 if many else (0.0, 0.0)
        return {
            "per_second": round(len(self.delays) / self.seconds, 2),
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
            "answered": len(self.delays),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


def closed_loop(port: int, load: Load, *, clients: int, seconds: float, kind: str = "batched") -> Answers:
    """So many clients, each of which asks again as soon as it has its answer."""
    return _run(port, load, clients=clients, seconds=seconds, due=None, kind=kind)


def open_loop(port: int, load: Load, *, rate: float, seconds: float, clients: int, seed: int = 0) -> Answers:
    """Requests that come at random, `rate` a second on average, whether or not the earlier ones are answered.

    Args:
        port: Of the server.
        load: The requests.
        rate: Requests a second.
        seconds: How long.
        clients: Connections; a request that finds none free waits, and that counts as its delay.
        seed: Of the arrivals.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
    return _run(port, load, clients=clients, seconds=seconds, due=np.cumsum(gaps).tolist(), kind="batched")


def _run(port: int, load: Load, *, clients: int, seconds: float, due: list[float] | None, kind: str) -> Answers:
    answers, lock, began = Answers(), threading.Lock(), time.perf_counter()
    number = 0

    def following() -> tuple[int, float] | None:
        """The next request's number and when it is due."""
        nonlocal number
        with lock:
            now = time.perf_counter() - began
            if (number >= len(due)) if due is not None else now > seconds:
                return None
            number += 1
            return number - 1, now if due is None else due[number - 1]

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while (what := following()) is not None:
            place, when = what
            time.sleep(max(0.0, began + when - time.perf_counter()))
            status, asked_back = _ask(connection, f"/{kind}/v1/embeddings", load, place % len(load.bodies))
            now = time.perf_counter() - began
            with lock:
                answers.statuses[status] += 1
                if status == 200:
                    answers.delays.append(now - when)
                    answers.done.append(now)
                answers.unasked += not asked_back
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.seconds = time.perf_counter() - began
    return answers


def _ask(connection: http.client.HTTPConnection, path: str, load: Load, place: int) -> tuple[int, bool]:
    """Status of an answer, and whether a refusal says when to come again."""
    kept = connection.sock is not None
    try:
        connection.request("POST", path, load.bodies[place], {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        # A server ends connections that nobody uses for a while: then a new one is made, as every client does.
        return _ask(connection, path, load, place) if kept else (0, True)
    if answer.status != 200:
        return answer.status, answer.status not in (429, 503) or answer.headers.get("Retry-After") is not None
    row = np.frombuffer(base64.b64decode(json.loads(content)["data"][0]["embedding"]), dtype="<f4")
    return (200 if np.abs(row - load.rows[place]).max() < 1e-4 else WRONG), True


def metric(port: int, name: str) -> float:
    """A number of the batched server's /metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/batched/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def every(seconds: float, do: Callable[[], object], *, until: threading.Event) -> threading.Thread:
    """A thread that does something again and again."""

    def run() -> None:
        while not until.wait(seconds):
            do()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
