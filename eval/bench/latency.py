"""How late a caption is at real speed: ``python eval/run.py bench.latency images=FOLDER``.

A local server in a process of its own sends photos as MPEG-TS over HTTP, a new one every few seconds by the wall
clock, and `stream` follows it for a while with `mini`. From the frame to the caption is what `stream` notes itself,
by stage; from the change to the caption also has the server's encoder, the connection and the video decoder in it, for
it is known when the image changed.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from eval.bench.live import ServerProcess
from eval.bench.memory import quantile
from eval.core.console import log
from vljepa import VLJEPA, VLJEPAProcessor, stream
from vljepa.inference.stream_stats import StreamStats


def measure(
    *, images: str, seconds: float = 120.0, scene: float = 3.0, kind: str = "ts", model: str = "mini"
) -> dict[str, Any]:
    """Follow the server.

    Args:
        images: Folder of JPEG files.
        seconds: How long.
        scene: Seconds of each image.
        kind: `ts` or `mjpeg`.
        model: Preset, folder or repository.
    """
    loaded, processor = VLJEPA.from_pretrained(model), VLJEPAProcessor.from_pretrained(model)
    with ServerProcess(Path(images), scene=scene) as server:
        address = f"http://127.0.0.1:{server.port}/{kind}"
        found = follow(address, model=loaded, processor=processor, seconds=seconds, scene=scene)
    return {"model": model, "kind": kind, "scene_seconds": scene, **found}


def follow(address: str, *, model: VLJEPA, processor: VLJEPAProcessor, seconds: float, scene: float) -> dict[str, Any]:
    """Watch for a while; delays in seconds."""
    stats, stop = StreamStats(), threading.Event()
    load = os.getloadavg()[0]
    threading.Timer(seconds, stop.set).start()
    since_change, apart = [], []
    for segment in stream(address, model=model, processor=processor, stats=stats, stop=stop):
        written = time.time()
        if segment.ended is None or stop.is_set():
            continue
        change = round(segment.ended.timestamp() / scene) * scene
        apart.append(segment.ended.timestamp() - change)
        since_change.append(written - change)
        log(f"{segment.text} ({since_change[-1]:.2f} s after the change)")
    return {
        **stats.summary(),
        "processor_load": {"before": round(load, 1), "after": round(os.getloadavg()[0], 1)},
        "rates": [[round(when, 1), fps] for when, fps in stats.rates],
        "from_change_to_caption": {"p50": quantile(since_change, 0.5), "p99": quantile(since_change, 0.99)},
        "boundary_minus_change": {"p50": quantile(apart, 0.5), "p99": quantile(apart, 0.99)},
    }
