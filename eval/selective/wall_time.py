"""Wall time of a stream at equal quality: what fewer decodes are worth when every frame is still read and encoded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from eval.selective.frames import render
from eval.selective.streams import FPS
from vljepa.inference.embed import Embedder
from vljepa.metrics.selective import REFERENCE_RATE

if TYPE_CHECKING:
    from eval.selective.measure import Setting, World

TIMED = 48


def wall_time(setting: Setting, world: World, *, adaptive: dict[str, float]) -> dict[str, Any]:
    """Seconds of work per second of stream, split; and the ratio of uniform and adaptive decoding at equal quality.

    Args:
        setting: Names the decoders; each is timed.
        world: Streams whose frames are timed.
        adaptive: Saving of adaptive decoding; without one there are no ratios.
    """
    frames = list(world.frames.places)[:TIMED]
    opened = [Image.open(one.path).convert("RGBA") for one in world.pictures]
    embedder = Embedder.from_pretrained(setting.model, device="cpu", decoder=next(iter(setting.decoders.values())))
    model, processor = embedder.model, embedder.processor
    seconds: dict[str, list[float]] = {"read": [], "encode": [], "predict": []}
    with torch.inference_mode():
        for frame in frames:
            marks = [time.perf_counter()]
            pixels = processor.images([render(frame, opened)])
            marks.append(time.perf_counter())
            vision = model.encode_vision(pixels)
            marks.append(time.perf_counter())
            model.predict(vision)
            marks.append(time.perf_counter())
            for name, start, end in zip(seconds, marks, marks[1:], strict=False):
                seconds[name].append(end - start)
    per_frame = {name: float(np.median(values)) for name, values in seconds.items()}
    fewer = adaptive["times_fewer"] or 1.0
    rates = {"uniform": REFERENCE_RATE, "adaptive": REFERENCE_RATE / fewer}
    arms = {}
    for name, folder in setting.decoders.items():
        own = Embedder.from_pretrained(setting.model, device="cpu", decoder=folder)
        times = []
        for row in world.frames.rows[:TIMED]:
            start = time.perf_counter()
            own.words(row[None], num_beams=setting.beams)
            times.append(time.perf_counter() - start)
        decode = float(np.median(times))
        watch = FPS * sum(per_frame.values())
        total = {way: watch + rate * decode for way, rate in rates.items()}
        arms[name] = {
            "decode_s": decode,
            "seconds_per_second": total,
            "ratio": total["uniform"] / total["adaptive"],
            "decode_only_ratio": rates["uniform"] / rates["adaptive"],
        }
    return {"per_frame_s": per_frame, "fps": FPS, "rates": rates, "decoders": arms}
