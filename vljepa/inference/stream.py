"""A video in words: a caption whenever the meaning changes, while the video is still being read.

Shapes: T frames, B of them in a batch, D width of the shared space.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.configs import SelectiveConfig
from vljepa.configs.loading import validate
from vljepa.errors import ConfigError, VideoError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.frame_reader import FrameReader
from vljepa.inference.online import change_of
from vljepa.inference.segmentation import Dendrogram, ward_chain
from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.stream_stats import StreamStats, Thumbnails, thumbnail
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.shots import TOLERANCE
from vljepa.processing.video import Frame, read_frames

Method = Literal["online", "offline"]


def stream(
    source: str | Path | Iterable[Frame],
    *,
    model: VLJEPA,
    processor: VLJEPAProcessor,
    query: str = "",
    method: Method = "online",
    fps: float | None = None,
    threshold: float | None = None,
    max_rate: float | None = None,
    rate: float | None = None,
    count: int | None = None,
    stats: StreamStats | None = None,
    stop: threading.Event | None = None,
    **options: Any,
) -> Generator[Segment, None, None]:
    """Cut a video where its meaning changes and say each segment in words, as soon as it is over.

    Frames are read in a thread while the model works. `online` memory does not grow with the video. `offline` looks at
    all of it before it decides, cuts it into any number of segments, and holds T x D floats (4 fps: about 22 MB per
    hour at D = 384).

    Args:
        source: A video file, a folder of frames, an animated GIF or WebP; or frames as they come, such as those of a
            camera, of which at most `fps` per second are looked at. One that blocks for ever keeps its thread.
        model: A finished model with a Y-Decoder.
        processor: The processor that belongs to it.
        query: Ask this of every frame instead of describing it.
        method: Decide on the way, or at the end.
        fps: Frames per second to look at; by default what the decoder's thresholds were fitted at.
        threshold: Change above which the meaning has changed; by default from validation.
        max_rate: Online: at most so many texts per second, on average.
        rate: So many texts per second on average; offline instead of a threshold, online the threshold follows it, as
            far as there is change.
        count: Offline: number of texts, instead of a threshold.
        stats: Filled in on the way.
        stop: Set it, from wherever, to end early: the open segment is still closed, decoded and yielded.
        options: As for `YDecoder.generate`, such as `num_beams`.

    Yields:
        Segments in the order of time, disjoint, that cover the video.

    Raises:
        CheckpointError: The model has no Y-Decoder.
        ConfigError: A setting or an option is outside of its range, or is for the other method.
        VideoError: `source` cannot be read, breaks off, or goes back in time: after the segments of what was read.

    Example:
        >>> for segment in stream("clip.mp4", model=model, processor=processor):  # doctest: +SKIP
        ...     print(segment.start, segment.end, segment.text)
        0.0 4.25 a cat on a sofa
    """
    _check(method, threshold=threshold, rate=rate, count=count, max_rate=max_rate)
    embedder = Embedder(model, processor)
    embedder.require_words()
    config = _settings(model, method=method, fps=fps, threshold=threshold)
    notes = stats if stats is not None else StreamStats()
    if rate is None and count is None:
        notes.threshold = config.threshold if method == "online" else config.offline_threshold

    def say(rows: Rows) -> list[str]:
        with notes.timed("decode"):
            return embedder.words(rows, shift=not query, **options)

    watcher = _Watcher(
        embedder,
        SelectiveDecoder(say, config=config, rate=rate if method == "online" else None, max_rate=max_rate),
        query=query or model.config.prompts.caption,
        stats=notes,
        stop=stop,
    )
    if isinstance(source, str | Path):
        frames = read_frames(source, fps=config.fps, max_pixels=processor.config.x_encoder.image.max_pixels)
    else:
        frames = _thin(source, fps=config.fps)
    return watcher.online(frames) if method == "online" else watcher.offline(frames, rate=rate, count=count)


@dataclass(frozen=True, slots=True)
class _Look:
    """A frame on its way: pixels [1, 1, C, H, W] for the model, and a small JPEG where one is wanted."""

    time: float
    pixels: torch.Tensor
    picture: bytes | None


class _Watcher:
    """From frames to segments, with notes on the way.

    Args:
        embedder: Model and processor.
        segmenter: Decides where segments end.
        query: Asked of every frame.
        stats: Filled in.
        stop: Set to end early.
    """

    def __init__(
        self,
        embedder: Embedder,
        segmenter: SelectiveDecoder,
        *,
        query: str,
        stats: StreamStats,
        stop: threading.Event | None,
    ) -> None:
        self._embedder = embedder
        self._segmenter = segmenter
        self._query = embedder.processor.queries([query])
        self._stats = stats
        self._stop = stop
        self._thumbnails = Thumbnails()
        self._failure: Exception | None = None

    def online(self, frames: Iterable[Frame]) -> Generator[Segment, None, None]:
        stats = self._stats
        # A score is that of the boundary before a row some rows ago.
        moments: deque[float] = deque(maxlen=change_of(self._segmenter.config).delay + 1)
        with closing(self._rows(frames)) as rows:
            for moment, row in rows:
                closed = self._segmenter.push(row, moment)
                moments.append(moment)
                stats.signal.add(moments[0], self._segmenter.score)
                for segment in closed:
                    yield self._noted(segment)
                    self._thumbnails.forget(before=segment.end)
        yield from map(self._noted, self._segmenter.close())
        self._end()

    def offline(
        self, frames: Iterable[Frame], *, rate: float | None, count: int | None
    ) -> Generator[Segment, None, None]:
        with closing(self._rows(frames)) as rows:
            seen = list(rows)
        if seen:
            rows_TD, times_T = np.stack([row for _, row in seen]), np.array([moment for moment, _ in seen])
            tree = ward_chain(rows_TD)
            for moment, height in _heights(tree, times_T):
                self._stats.signal.add(moment, height)
            yield from map(self._noted, self._segmenter.offline(rows_TD, times_T, rate=rate, count=count, tree=tree))
        self._end()

    def _rows(self, frames: Iterable[Frame]) -> Generator[tuple[float, NDArray[np.float32]], None, None]:
        """Time and embedding [D] of each frame; an error of the source is kept for the end."""
        size = self._embedder.batch_size
        self._stats.start()
        with FrameReader(frames, prepare=self._prepare, batch=size, stop=self._stop) as reader:
            batches = iter(reader)
            while True:
                try:
                    looks = next(batches, None)
                except Exception as error:
                    self._failure = error
                    return
                finally:
                    self._stats.seconds["read"] = reader.seconds
                if looks is None:
                    return
                rows = self._predict(looks)
                for look, row in zip(looks, rows, strict=True):
                    self._stats.saw(look.time, lasts=1 / self._segmenter.config.fps)
                    if look.picture is not None:
                        self._thumbnails.add(look.time, look.picture)
                    yield look.time, row

    def _prepare(self, frame: Frame) -> _Look:
        picture = thumbnail(frame.image) if self._stats.thumbnails else None
        return _Look(frame.time, self._embedder.processor.images([frame.image]), picture)

    @torch.inference_mode()
    def _predict(self, looks: list[_Look]) -> Rows:
        device, model = self._embedder.device, self._embedder.model
        with self._stats.timed("encode"):
            vision = model.encode_vision(torch.cat([look.pixels for look in looks]).to(device))
            if device.type == "cuda":
                torch.cuda.synchronize(device)  # or the next stage would be charged for this one
        with self._stats.timed("predict"):
            query = {name: ids.expand(len(looks), -1).to(device) for name, ids in self._query.items()}
            rows: Rows = model.predict(vision, query["query_ids"], query["query_mask"]).float().cpu().numpy()
        return rows

    def _noted(self, segment: Segment) -> Segment:
        self._stats.decodes += 1
        self._stats.tick()
        if self._stats.thumbnails:
            self._stats.pictures.append(self._thumbnails.nearest(segment.time))
        return segment

    def _end(self) -> None:
        self._stats.tick()
        if self._failure is not None:
            raise self._failure


def _heights(tree: Dendrogram, times_T: NDArray[np.float64]) -> Iterator[tuple[float, float]]:
    """Time and height of each boundary of the dendrogram: the threshold from which on it is no boundary any more."""
    lasts = np.maximum.accumulate(tree.heights)
    for place in np.argsort(tree.joints):
        yield float(times_T[tree.joints[place]]), float(lasts[place])


def _check(
    method: Method, *, threshold: float | None, rate: float | None, count: int | None, max_rate: float | None
) -> None:
    """Refuse what `method` has no use for, before a long video has been looked at."""
    if method == "online" and count is not None:
        raise ConfigError(
            "count is for the method offline, which knows the whole video.", fix="use rate, max_rate, or offline."
        )
    if method == "offline" and max_rate is not None:
        raise ConfigError("max_rate is for the method online.", fix="use rate, or leave offline out.")
    if method == "offline" and len([one for one in (threshold, rate, count) if one is not None]) > 1:
        raise ConfigError("threshold, rate and count are three ways to say one thing.", fix="give one of them.")
    for name, value in (("rate", rate), ("count", count)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name} = {value} decodes nothing.", fix=f"give a {name} above 0.")


def _thin(frames: Iterable[Frame], *, fps: float) -> Iterator[Frame]:
    """At most `fps` frames per second, on a grid that begins with the first one."""
    due = last = -math.inf
    for frame in frames:
        if frame.time < last:
            raise VideoError(f"a frame at {frame.time} s comes after one at {last} s.", fix="give them in time order.")
        last = frame.time
        if frame.time >= due - TOLERANCE:
            yield frame
            due = due + 1 / fps if due + 1 / fps > frame.time else frame.time + 1 / fps


def _settings(model: VLJEPA, *, method: Method, fps: float | None, threshold: float | None) -> SelectiveConfig:
    """The decoder's own settings with what is asked for instead."""
    assert model.y_decoder is not None
    asked = {"fps": fps, "threshold" if method == "online" else "offline_threshold": threshold}
    changes = {name: value for name, value in asked.items() if value is not None}
    return validate(SelectiveConfig, {**model.y_decoder.config.selective.model_dump(), **changes}, where="stream")
