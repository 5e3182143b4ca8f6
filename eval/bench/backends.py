"""How quick the X-Encoder is in torch and in onnxruntime: ``python eval/run.py bench.backends images=FOLDER``.

Both load one model, are given the same prepared images, and take turns round by round, so that another program's load
meets both. Per second of the wall clock and, which a busy machine disturbs less, per second of the processor.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.console import log
from vljepa.inference.embed import Embedder
from vljepa.inference.images import walk
from vljepa.inference.onnx_towers import BACKENDS


def measure(*, images: str, model: str = "mini", count: int = 48, rounds: int = 7) -> dict[str, Any]:
    """Images per second.

    Args:
        images: Folder of images.
        model: Preset, folder, repository or dual encoder.
        count: How many images; batches are those of `index`.
        rounds: Turns of each; the median is reported.
    """
    files = walk(Path(images)).files[:count]
    embedders = {one: Embedder.from_pretrained(model, device="cpu", backend=one) for one in BACKENDS}
    size = embedders["torch"].batch_size
    pixels = [embedders["torch"].read(file) for file in files]
    batches = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    rows = {name: one.images(files) for name, one in embedders.items()}

    def every(call: Callable[[Any], object], given: list[Any]) -> Callable[[], None]:
        def run() -> None:
            for one in given:
                call(one)

        return run

    found: dict[str, Any] = {
        "model": model,
        "images": len(files),
        "processor_load": round(os.getloadavg()[0], 1),
        "largest_difference": float(np.abs(rows["torch"] - rows["onnx"]).max()),
    }
    for what in ("encoder", "embedding", "one_by_one", "files"):
        works = {}
        for name, one in embedders.items():
            calls = {
                "encoder": every(one.encode, batches),
                "embedding": every(one.pixels, batches),
                "one_by_one": every(one.pixels, [[single] for single in pixels]),
                "files": every(one.images, [files]),
            }
            works[name] = calls[what]
        found[what] = _in_turns(works, count=len(files), rounds=rounds)
        log(f"{what}: {found[what]}")
    return found


def _in_turns(works: dict[str, Callable[[], None]], *, count: int, rounds: int) -> dict[str, dict[str, float]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            wall, processor = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {
        name: {
            "per_second": round(count / statistics.median(wall for wall, _ in taken), 1),
            "per_processor_second": round(count / statistics.median(processor for _, processor in taken), 1),
        }
        for name, taken in times.items()
    }
