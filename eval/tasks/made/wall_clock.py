"""Wall-clock time of a stream at equal quality: what fewer decodes are worth when every frame is read and encoded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.tasks.made.frames import Frames, render
from eval.tasks.made.streams import FPS
from vljepa.inference.embed import Embedder
from vljepa.metrics.selective import REFERENCE_RATE

TIMED = 48


def wall_clock(
    model: str, decoders: dict[str, str], frames: Frames, images: Sequence[Path], *, adaptive: dict[str, float]
) -> dict[str, Any]:
    """Seconds of work per second of stream, split, by decoder; and how uniform and adaptive decoding compare.

    `adaptive` is the saving of adaptive decoding at equal quality; some of the frames are rendered and encoded again.
    """
    opened = [Image.open(path).convert("RGBA") for path in images]
    embedders = {name: Embedder.from_pretrained(model, device="cpu", decoder=path) for name, path in decoders.items()}
    first = next(iter(embedders.values()))
    seconds: dict[str, list[float]] = {"read": [], "encode": [], "predict": []}
    for frame in list(frames.places)[:TIMED]:
        marks = [time.perf_counter()]
        pixels = first.processor.images([render(frame, opened)])
        marks.append(time.perf_counter())
        vision = first.encode([pixels])
        marks.append(time.perf_counter())
        first.ask(vision, [(0, "")])
        marks.append(time.perf_counter())
        for name, start, end in zip(seconds, marks, marks[1:], strict=False):
            seconds[name].append(end - start)
    per_frame = {name: float(np.median(values)) for name, values in seconds.items()}
    rates = {"uniform": REFERENCE_RATE, "adaptive": REFERENCE_RATE / (adaptive["times_fewer"] or 1.0)}
    arms = {}
    for name, embedder in embedders.items():
        times = []
        for place in range(min(TIMED, len(frames.rows))):
            one = slice(place, place + 1)
            start_decode = time.perf_counter()
            embedder.write(frames.rows[one], None if frames.classes is None else frames.classes[one], num_beams=1)
            times.append(time.perf_counter() - start_decode)
        decode = float(np.median(times))
        total = {method: FPS * sum(per_frame.values()) + rate * decode for method, rate in rates.items()}
        arms[name] = {
            "decode_s": decode,
            "seconds_per_second": total,
            "ratio": total["uniform"] / total["adaptive"],
            "decode_only_ratio": rates["uniform"] / rates["adaptive"],
        }
    return {"per_frame_s": per_frame, "fps": FPS, "rates": rates, "decoders": arms}
