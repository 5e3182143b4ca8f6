"""Hours of a camera: ``python eval/run.py bench.soak hours=2 images=FOLDER``.

A synthetic camera pans over real photos, ten frames a second of its own clock, as fast as the model takes them: hours
of stream in minutes, and no frame is dropped. Scenes last 4 s on average with a heavy tail. Measured on the way: the
memory of the process, decodes against the budget of `max_rate` in every stretch of the stream, and how far captions
are from what they tell of, early and late. No video is decoded, nothing is lost and nothing dropped: that is
`bench.soak_live`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.bench.memory import course, quantile, resident_mb
from eval.core.charts import Line, lines
from eval.core.console import log
from vljepa import VLJEPA, VLJEPAProcessor, stream
from vljepa.configs import LiveOptions
from vljepa.inference.stream_stats import StreamStats
from vljepa.processing.video import Frame

SIZE = (320, 240)
BURST = 3
"""Decodes that quiet time may save up; see `RateBudget`."""
NEAR = 1.0
"""A boundary belongs to a cut within so many seconds."""
WARM = 0.1
"""Share of the run before memory counts: pools fill up."""


def measure(
    *,
    images: str,
    hours: float = 2.0,
    most_images: int = 100,
    max_rate: float = 0.2,
    camera_fps: int = 10,
    model: str = "mini",
    seed: int = 0,
    plot: str = "",
) -> dict[str, Any]:
    """Follow the camera.

    Args:
        images: Folder of JPEG files.
        hours: Of the stream's own time.
        most_images: That the camera sees.
        max_rate: Decodes per second.
        camera_fps: 2 is what a slow machine comes down to.
        model: Preset, folder or repository.
        seed: Of the camera.
        plot: PNG file to draw.
    """
    photos = load(Path(images), most=most_images)
    loaded, processor = VLJEPA.from_pretrained(model), VLJEPAProcessor.from_pretrained(model)
    soak = Soak(photos, scenes(seconds=3600 * hours, seed=seed), max_rate=max_rate, fps=camera_fps, seed=seed)
    soak.run(loaded, processor)
    if plot:
        Path(plot).write_bytes(soak.plot())
    return {"model": model, "camera_fps": camera_fps, "photos": len(photos), "seed": seed, **soak.result()}


def load(folder: Path, *, most: int) -> list[Image.Image]:
    """Photos, large enough to pan over."""
    files = sorted(folder.glob("*.jpg"))[:most]
    return [Image.open(file).convert("RGB").resize((SIZE[0] * 5 // 4, SIZE[1] * 5 // 4)) for file in files]


def scenes(*, seconds: float, seed: int) -> list[float]:
    """Lengths of scenes from a log-normal law with mean 4 s, at least 1 s, that fill the time."""
    draw = np.random.default_rng(seed)
    lengths: list[float] = []
    while sum(lengths) < seconds:
        lengths.append(round(max(1.0, float(draw.lognormal(np.log(4.0) - 0.18, 0.6))), 1))
    return lengths


class Soak:
    """One run of a camera over photos, a scene for each duration, and what it noted."""

    def __init__(
        self, photos: Sequence[Image.Image], durations: Sequence[float], *, max_rate: float, fps: int, seed: int
    ) -> None:
        self._photos, self._durations = photos, durations
        self._max_rate, self._fps, self._seed = max_rate, fps, seed
        self.stats = StreamStats(thumbnails=True, most_images=100)
        self.cuts = list(accumulate(durations, initial=0.0))[:-1]
        self.memory: list[tuple[float, float]] = []  # (hours of the stream, MiB)
        self.decoded: list[float] = []  # seconds of the stream that had been looked at at each decode
        self.starts: list[float] = []
        self.ends: list[float] = []
        self._wall = 0.0

    def run(self, model: VLJEPA, processor: VLJEPAProcessor) -> None:
        """Watch all of it with a model that has a Y-Decoder."""
        begin, live = time.perf_counter(), LiveOptions(drop=False)
        camera, rate = self._camera(), self._max_rate
        for segment in stream(camera, model=model, processor=processor, max_rate=rate, live=live, stats=self.stats):
            self.decoded.append(self.stats.end)
            self.starts.append(segment.start)
            self.ends.append(segment.end)
        self._wall = time.perf_counter() - begin

    def result(self) -> dict[str, Any]:
        """Numbers, in seconds of the stream unless they say otherwise."""
        seconds = self.stats.duration
        late = np.array(self.decoded) - np.array(self.ends)
        halves = [late[: len(late) // 2].tolist(), late[len(late) // 2 : -1].tolist()]  # the last is closed by the end
        quarters: list[list[float]] = [[], [], [], []]  # boundary - cut
        for cut, error in self._pairs():
            quarters[min(3, int(4 * cut / seconds))].append(error)
        found = len({cut for cut, _ in self._pairs()} - {0.0})
        return {
            "stream_seconds": round(seconds, 1),
            "wall_seconds": round(self._wall, 1),
            "frames": self.stats.frames,
            "dropped": self.stats.dropped,
            "decodes": self.stats.decodes,
            "scenes": len(self._durations),
            "memory_mib": {"first": round(self.memory[0][1], 1), "samples": len(self.memory)}
            | course(self.memory, warm=WARM),
            "max_rate": self._max_rate,
            "most_above_budget": round(above_budget(self.decoded[:-1], rate=self._max_rate), 3),
            "caption_after_end": {
                name: [quantile(half, share) for share in (0.5, 0.99)]
                for name, half in zip(("first_half", "second_half"), halves, strict=True)
            },
            "cuts": {
                "found": found,
                "missed": len(self.cuts) - 1 - found,
                "boundaries_elsewhere": len(self.starts) - 1 - len(self._pairs()),
            },
            "boundary_minus_cut": {
                f"quarter_{number}": {"median": quantile(part, 0.5), "boundaries": len(part)}
                for number, part in enumerate(quarters, start=1)
            },
        }

    def plot(self) -> bytes:
        """Memory, decodes against the budget, and the way of boundaries from their cuts, as PNG."""
        minutes, ends = [when / 60 for when in self.decoded], [0.0, self.stats.duration / 60]
        budget = [0.0, self.stats.duration * self._max_rate]
        pairs = self._pairs()
        memory = [Line("memory", [60 * when for when, _ in self.memory], [mib for _, mib in self.memory])]
        decodes = [
            Line("decodes", minutes, list(range(1, len(minutes) + 1))),
            Line(f"budget, {self._max_rate:g} per second", ends, budget, style="--", colour="grey"),
        ]
        errors = [Line("boundary - cut", [cut / 60 for cut, _ in pairs], [error for _, error in pairs], style="")]
        panels = [("memory", "MiB", memory), ("decodes", "count", decodes), ("boundaries", "seconds", errors)]
        return lines([[panel] for panel in panels], x="minutes of the stream", log="")

    def _camera(self) -> Iterator[Frame]:
        draw = np.random.default_rng(self._seed + 1)
        number, photo = 0, -1
        sample = max(1, int(sum(self._durations) * self._fps) // 200)
        for cut, seconds in zip(self.cuts, self._durations, strict=True):
            photo = int((photo + 1 + draw.integers(len(self._photos) - 1)) % len(self._photos))
            image = self._photos[photo]
            room = (image.width - SIZE[0], image.height - SIZE[1])
            begin, end = draw.random((2, 2)) * room
            count = max(1, round(seconds * self._fps))
            for step in range(count):
                left, top = (begin + (end - begin) * step / count).round().astype(int).tolist()
                when = cut + seconds * step / count
                yield Frame(image.crop((left, top, left + SIZE[0], top + SIZE[1])), when, number)
                if number % sample == 0:
                    self.memory.append((when / 3600, resident_mb()))
                    if number % (20 * sample) == 0:
                        log(f"{when / 60:.0f} min of the stream, {self.memory[-1][1]:.0f} MiB")
                number += 1

    def _pairs(self) -> list[tuple[float, float]]:
        """(cut, boundary - cut) of every boundary with a cut near."""
        found = []
        for start in self.starts[1:]:
            place = bisect_left(self.cuts, start)
            cut = min(self.cuts[max(0, place - 1) : place + 1], key=lambda one: abs(one - start))
            if abs(start - cut) <= NEAR:
                found.append((cut, start - cut))
        return found


def above_budget(times: Sequence[float], *, rate: float) -> float:
    """Most decodes beyond `rate` x length + BURST in any stretch of the stream: at most 0 when the budget holds."""
    worst, lowest = -float("inf"), float("inf")
    for number, when in enumerate(times):
        # A stretch from decode i to decode j has j - i + 1 of them.
        lowest = min(lowest, number - rate * when)
        worst = max(worst, number - rate * when - lowest + 1 - BURST)
    return worst
