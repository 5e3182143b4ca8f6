"""A server that comes and goes: ``python eval/run.py bench.soak_live minutes=15 images=FOLDER``.

What the synthetic camera of `eval.bench.soak` leaves out, at real speed: a local server in a process of its own sends
photos as MPEG-TS over HTTP, is killed every few seconds and started again, and `stream` follows it through PyAV. After
every fifth caption that no loss has closed, whoever takes the captions pauses, so that frames are dropped. Measured on
the way: memory, threads and open files of this process, beside the losses that they went through.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from eval.bench.live import ServerProcess
from eval.bench.memory import course, quantile, resident_mb
from eval.core.charts import Line, lines
from eval.core.console import log
from vljepa import VLJEPA, VLJEPAProcessor, stream
from vljepa.configs import LiveOptions
from vljepa.inference.notices import Notice
from vljepa.inference.selective import Segment
from vljepa.inference.stream_stats import StreamStats

SAMPLE = 5.0
"""Seconds between two looks at the process."""
WARM = 0.5
"""Share of the run before memory counts: pools fill up with every new size of a batch."""
PAUSES = (5, 3.0)
"""After so many captions, so many seconds in which nobody takes any."""
KINDS = ("memory_mib", "threads", "open_files")


def measure(
    *,
    images: str,
    minutes: float = 15.0,
    every: float = 7.0,
    scene: float = 2.0,
    kind: str = "ts",
    model: str = "mini",
    plot: str = "",
) -> dict[str, Any]:
    """Follow the server.

    Args:
        images: Folder of JPEG files.
        minutes: How long.
        every: Seconds between two deaths of the server.
        scene: Seconds of each image.
        kind: `ts` or `mjpeg`.
        model: Preset, folder or repository.
        plot: PNG file to draw.
    """
    loaded, processor = VLJEPA.from_pretrained(model), VLJEPAProcessor.from_pretrained(model)
    with MortalServer(Path(images), scene=scene, every=every) as server:
        soak = LiveSoak(f"http://127.0.0.1:{server.port}/{kind}", scene=scene)
        soak.run(loaded, processor, seconds=60 * minutes)
    if plot:
        Path(plot).write_bytes(soak.plot())
    settings = {"model": model, "kind": kind, "every": every, "scene_seconds": scene}
    return {**settings, "deaths": server.deaths, **soak.result()}


class MortalServer(ServerProcess):
    """Killed (SIGKILL) every so many seconds and started again on the same port."""

    def __init__(self, images: Path, *, scene: float, every: float) -> None:
        super().__init__(images, scene=scene)
        self.deaths = 0
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live_and_die)

    def __enter__(self) -> Self:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._thread.join()
        super().__exit__(*failure)

    def _live_and_die(self) -> None:
        while not self._over.wait(self._every):
            self.kill()
            self.deaths += 1
            self.start()


class LiveSoak:
    """One run on the server's address, whose images last `scene` seconds by the wall clock, and what it noted."""

    def __init__(self, address: str, *, scene: float) -> None:
        self._address, self._scene = address, scene
        self.stats = StreamStats(thumbnails=True, most_images=100)
        self.notices: Counter[str] = Counter()
        self.samples: list[tuple[float, float, int, int, int, int]] = []  # minutes, `KINDS`, losses, dropped frames
        self.segments: list[Segment] = []
        self._stop = threading.Event()
        self._begin = time.monotonic()

    def run(self, model: VLJEPA, processor: VLJEPAProcessor, *, seconds: float) -> None:
        """Watch for so long."""
        self._begin = time.monotonic()
        watching = threading.Thread(target=self._watch_the_process, args=(seconds,))
        watching.start()
        live = LiveOptions(first_wait=0.1, longest_wait=1.0, retries=1000, min_fps=4.0)
        watch: dict[str, Any] = {"live": live, "stats": self.stats, "notify": self._note, "stop": self._stop}
        pauses = 0
        for segment in stream(self._address, model=model, processor=processor, **watch):
            self.segments.append(segment)
            if len(self.stats.latency) // PAUSES[0] > pauses:
                pauses += 1
                self._stop.wait(PAUSES[1])
        watching.join()

    def result(self) -> dict[str, Any]:
        """Numbers; seconds unless they say otherwise."""
        apart = boundaries_minus_changes(self.segments, scene=self._scene)
        halves = [apart[: len(apart) // 2], apart[len(apart) // 2 :]]
        return {
            **self.stats.summary(),
            "losses": self.notices["lost"],
            "vain_attempts": self.notices["retry"],
            "overlaps": sum(one.end > other.start for one, other in pairwise(self.segments)),
            "memory_mib_by_minute": [round(mib, 1) for _, mib, *_ in self.samples[:: round(60 / SAMPLE)]],
            **{
                kind: course([(one[0] / 60, float(one[place])) for one in self.samples], warm=WARM)
                for place, kind in enumerate(KINDS, start=1)
            },
            "boundary_minus_change": {
                name: {"p50": quantile(half, 0.5), "boundaries": len(half)}
                for name, half in zip(("first_half", "second_half"), halves, strict=True)
            },
        }

    def plot(self) -> bytes:
        """Memory, threads, open files and losses over the run, as PNG."""
        minutes, *columns = zip(*self.samples, strict=True)
        memory, threads, files, losses, dropped = (list(column) for column in columns)
        panels = [
            ("memory", "MiB", [Line("memory", minutes, memory)]),
            ("process", "count", [Line("threads", minutes, threads), Line("open files", minutes, files)]),
            ("stream", "count", [Line("losses", minutes, losses), Line("dropped frames", minutes, dropped)]),
        ]
        return lines([[panel] for panel in panels], x="minutes", log="")

    def _note(self, notice: Notice) -> None:
        self.notices[notice.kind] += 1

    def _watch_the_process(self, seconds: float) -> None:
        while (passed := time.monotonic() - self._begin) < seconds:
            threads, files = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd"))
            counts = self.notices["lost"], self.stats.dropped
            self.samples.append((passed / 60, resident_mb(), threads, files, *counts))
            if len(self.samples) % 12 == 0:
                log(f"{passed / 60:.0f} min, {resident_mb():.0f} MiB, {threads} threads, {counts[0]} losses")
            time.sleep(SAMPLE)
        self._stop.set()


def boundaries_minus_changes(segments: Sequence[Segment], *, scene: float) -> list[float]:
    """Seconds from the nearest change of the image to each end of a segment that the next one follows at once."""
    apart = []
    for one, other in pairwise(segments):
        if one.end == other.start and one.ended is not None:
            when = one.ended.timestamp()
            apart.append(when - scene * round(when / scene))
    return apart
