"""The one loop behind `stream` and `watch`: frames of all sources in shared batches, rows to each source's channel.

Shapes: B frames in a batch, D width of the shared space.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.errors import DataError
from vljepa.inference.channel import Channel, FrameTimes
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.frame_reader import Ended, FrameReaders, Read
from vljepa.inference.frame_sources import FrameSource
from vljepa.inference.pace import Pace
from vljepa.inference.segmentation import Dendrogram, ward_chain
from vljepa.inference.selective import Segment
from vljepa.inference.stream_stats import thumbnail
from vljepa.processing.live import Gap
from vljepa.processing.video import Frame

_Seen: TypeAlias = tuple[Rows, FrameTimes, Rows | None]
"""A frame's embedding [D], when it passed, and what the X-Encoder's own classifier says of it, [K]."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A prepared frame: pixels [1, 1, C, H, W] for the model, and a small JPEG where one is wanted."""

    pixels: torch.Tensor
    image: bytes | None


class Watcher:
    """From frames of one or more sources to segments, with notes on the way.

    Args:
        embedder: Model and processor.
        channels: One per source.
        query: Asked of every frame.
        pace: Decides how many frames per second of live sources are looked at.
        stop: Set to end early.
    """

    def __init__(
        self,
        embedder: Embedder,
        channels: Sequence[Channel],
        *,
        query: str,
        pace: Pace,
        stop: threading.Event | None,
    ) -> None:
        self._embedder = embedder
        self._channels = channels
        self._query = embedder.processor.queries([query])
        self._pace = pace
        self._stop = stop
        self._images = any(channel.stats.thumbnails for channel in channels)
        self._busy = 0.0  # seconds that the model has worked

    def online(self) -> Generator[tuple[Channel, Segment], None, None]:
        """Segments of all sources as they end; errors are left in the channels."""
        full = self._pace.fps
        with closing(self._looks()) as looks:
            for channel, event in looks:
                begin = time.perf_counter()
                for segment in _found(channel, event):
                    self._busy += time.perf_counter() - begin
                    yield channel, segment
                    begin = time.perf_counter()
                self._keep_pace(full)
                if all(one.over for one in self._channels):
                    break
        for channel in self._channels:
            for segment in channel.end(None):
                yield channel, segment

    def offline(self, *, rate: float | None, count: int | None) -> Generator[tuple[Channel, Segment], None, None]:
        """Segments of the only source, from a look at all of it."""
        [channel] = self._channels
        rows, times, classes, failure = [], [], [], None
        with closing(self._looks()) as looks:
            for _, event in looks:
                if isinstance(event, Ended):
                    failure = event.error
                elif not isinstance(event, Gap):
                    rows.append(event[0])
                    times.append(event[1].time)
                    classes += [] if event[2] is None else [event[2]]
        if rows:
            rows_TD, times_T = np.stack(rows), np.array(times)
            tree = ward_chain(rows_TD)
            for when, height in _heights(tree, times_T):
                channel.stats.signal.add(when, height)
            known = np.stack(classes) if classes else None
            found = channel.segmenter.offline(rows_TD, times_T, classes_TK=known, rate=rate, count=count, tree=tree)
            for segment in channel.kept(found):
                yield channel, segment
        for segment in channel.end(failure):
            yield channel, segment

    def _looks(self) -> Generator[tuple[Channel, _Seen | Gap | Ended], None, None]:
        """What the sources give, with each frame's embedding [D] and class probabilities [K]."""
        for channel in self._channels:
            channel.stats.start()
            channel.stats.live = channel.source.live
        sources: list[FrameSource] = [channel.source for channel in self._channels]
        size = self._embedder.batch_size
        with FrameReaders(sources, prepare=self._prepare, batch=size, stop=self._stop) as readers:
            for things in readers:
                for number, channel in enumerate(self._channels):
                    if channel.over:
                        readers.leave(number)  # its frames made no sense, and more may come for ever
                batch = [one for one in things if not self._channels[one[0]].over]
                looks = [(self._channels[number], thing) for number, thing in batch if isinstance(thing, Read)]
                rows = iter(self._predict(looks))
                for number, thing in batch:
                    channel = self._channels[number]
                    channel.stats.seconds["read"] = readers.seconds[number]
                    channel.stats.dropped = readers.dropped[number]
                    if isinstance(thing, Read):
                        row, way, classes = next(rows)
                        if channel.over:
                            continue  # since an earlier frame of this batch
                        channel.saw(way, thing.item.image)
                        yield channel, (row, way, classes)
                    else:
                        yield channel, thing

    def _prepare(self, frame: Frame) -> _Look:
        image = thumbnail(frame.image) if self._images else None
        return _Look(self._embedder.processor.images([frame.image]), image)

    @torch.inference_mode()
    def _predict(self, looks: Sequence[tuple[Channel, Read[_Look]]]) -> list[_Seen]:
        if not looks:
            return []
        device, model = self._embedder.device, self._embedder.model
        taken = time.monotonic()
        vision = model.encode_vision(torch.cat([look.item.pixels for _, look in looks]).to(device))
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # or the next stage would be charged for this one
        encoded = time.monotonic()
        query = self._query.choose([0] * len(looks)).to(device)
        rows: Rows = model.predict(vision, query).float().cpu().numpy()
        known = self._embedder.class_probabilities(vision)
        predicted = time.monotonic()
        self._busy += predicted - taken
        for channel, _ in looks:
            channel.stats.worked("encode", (encoded - taken) / len(looks))
            channel.stats.worked("predict", (predicted - encoded) / len(looks))
        return [
            (row, FrameTimes(look.time, look.clock, look.arrived, taken, encoded, predicted), classes)
            for row, classes, (_, look) in zip(rows, [None] * len(rows) if known is None else known, looks, strict=True)
        ]

    def _keep_pace(self, full: float) -> None:
        live = [channel for channel in self._channels if channel.source.live and channel.source.drops]
        frames, dropped = sum(one.stats.frames for one in live), sum(one.stats.dropped for one in live)
        lag = max((one.stats.lag for one in live if not one.over), default=0.0)
        if not self._pace.observe(time.monotonic(), busy=self._busy, frames=frames, dropped=dropped, lag=lag):
            return
        for channel in live:
            channel.grid.fps = self._pace.fps
            if not channel.over:
                channel.paced(full=full)


def _found(channel: Channel, event: _Seen | Gap | Ended) -> Iterator[Segment]:
    """Segments that an event ends; rows that make no sense end their source, and no other one."""
    try:
        if isinstance(event, Gap):
            yield from channel.gap(event)
        elif isinstance(event, Ended):
            yield from channel.end(event.error)
        else:
            yield from channel.push(*event)
    except DataError as error:
        yield from channel.end(error)


def _heights(tree: Dendrogram, times_T: NDArray[np.float64]) -> Iterator[tuple[float, float]]:
    """Time and height of each boundary of the dendrogram: the threshold from which on it is no boundary any more."""
    lasts = np.maximum.accumulate(tree.heights)
    for place in np.argsort(tree.joints):
        yield float(times_T[tree.joints[place]]), float(lasts[place])
