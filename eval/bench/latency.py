"""How late a caption is at real speed: ``python -m eval.bench.latency --pictures FOLDER``.

A local server in a process of its own sends photos as MPEG-TS over HTTP, a new one every few seconds by the clock on
the wall, and `stream` follows it for a while with `mini`. From the frame to the caption is what `stream` notes itself,
by stage; from the change to the caption also has the server's encoder, the connection and the video decoder in it, for
it is known when the picture changed. Prints JSON and writes it.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np

from eval.bench.live_process import ServerProcess, live_parser
from eval.command import run, say
from eval.mini import provenance
from vljepa import VLJEPA, VLJEPAProcessor, stream
from vljepa.inference.stream_stats import StreamStats


def main() -> int:
    """Measure; the exit code."""
    parser = live_parser("eval.bench.latency", __doc__, scene=3.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        model = VLJEPA.from_pretrained(given.model)
        processor = VLJEPAProcessor.from_pretrained(given.model)
        origin = provenance.origin("eval.bench.latency")
        with ServerProcess(given.pictures, scene=given.scene) as server:
            address = f"http://127.0.0.1:{server.port}/{given.kind}"
            found = follow(address, model=model, processor=processor, seconds=given.seconds, scene=given.scene)
        return {**origin, "model": given.model, "kind": given.kind, "scene_seconds": given.scene, **found}

    return run(work, output=given.output)


def follow(address: str, *, model: VLJEPA, processor: VLJEPAProcessor, seconds: float, scene: float) -> dict[str, Any]:
    """Watch for a while; delays in seconds."""
    stats, stop = StreamStats(), threading.Event()
    load = os.getloadavg()[0]
    threading.Timer(seconds, stop.set).start()
    since_change, apart = [], []
    for segment in stream(address, model=model, processor=processor, stats=stats, stop=stop):
        said = time.time()
        if segment.ended is None or stop.is_set():
            continue
        change = round(segment.ended.timestamp() / scene) * scene
        apart.append(segment.ended.timestamp() - change)
        since_change.append(said - change)
        say(f"{segment.text} ({since_change[-1]:.2f} s after the change)")
    return {
        **stats.summary(),
        "processor_load": {"before": round(load, 1), "after": round(os.getloadavg()[0], 1)},
        "rates": [[round(moment, 1), fps] for moment, fps in stats.rates],
        "from_change_to_caption": {
            "p50": round(float(np.quantile(since_change, 0.5)), 3),
            "p99": round(float(np.quantile(since_change, 0.99)), 3),
        },
        "boundary_minus_change": {
            "p50": round(float(np.quantile(apart, 0.5)), 3),
            "p99": round(float(np.quantile(apart, 0.99)), 3),
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
