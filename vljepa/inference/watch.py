"""Several videos in words at once, live ones too, with one model and shared batches."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import LiveOptions, SelectiveConfig
from vljepa.configs.loading import validate
from vljepa.errors import ConfigError, VideoError
from vljepa.inference.channel import Channel
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.frame_sources import Source, check_source, named, open_source
from vljepa.inference.min_confidence import check_minimum
from vljepa.inference.notices import Notify
from vljepa.inference.pace import Pace
from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.watcher import Watcher
from vljepa.inference.words import Words
from vljepa.processing.grid import Grid
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.unicode_text import check_text


def watch(
    sources: Iterable[Source] | Mapping[str, Source],
    *,
    model: VLJEPA,
    processor: VLJEPAProcessor,
    query: str = "",
    min_confidence: float = 0.0,
    fps: float | None = None,
    threshold: float | None = None,
    max_rate: float | None = None,
    rate: float | None = None,
    live: LiveOptions | None = None,
    stats: dict[str, StreamStats] | None = None,
    notify: Notify | None = None,
    stop: threading.Event | None = None,
    **options: Any,
) -> Generator[tuple[str, Segment], None, None]:
    """Follow several sources at once: as `stream` with the method online, for each of them, with one model.

    Frames of all sources share batches and are taken in turn, so that a quick one does not keep the others waiting. A
    source that fails ends alone; the others go on.

    Args:
        sources: As for `stream`; by name, or they are called by their path or address.
        model: A finished model with a Y-Decoder.
        processor: The processor that belongs to it.
        query: As for `stream`.
        min_confidence: As for `stream`.
        fps: As for `stream`.
        threshold: As for `stream`.
        max_rate: As for `stream`, for each source.
        rate: As for `stream`, for each source.
        live: As for `stream`, for all live sources.
        stats: Filled in on the way, per name; those that are there already are used.
        notify: As for `stream`.
        stop: As for `stream`.
        options: As for `YDecoder.generate`.

    Yields:
        (name, segment), in the order of time for each source.

    Raises:
        CheckpointError: The model has no Y-Decoder.
        ConfigError: A setting or an option is outside of its range, no source, or standard input twice.
        VideoError: A source failed; after the segments of all.

    Example:
        >>> for name, segment in watch(["rtsp://door/stream", "0"], model=model, processor=processor):  # doctest: +SKIP
        ...     print(segment.began, name, segment.text)
    """
    if isinstance(sources, str | Path):
        raise ConfigError(f"sources is {str(sources)!r}, one source.", fix=f"give a list: [{str(sources)!r}].")
    by_name = dict(sources) if isinstance(sources, Mapping) else named(sources)
    if not by_name:
        raise ConfigError("there is no source to watch.", fix="name at least one.")
    embedder = Embedder(model, processor)
    embedder.require_words()
    config = settings(model, fps=fps, threshold=threshold)
    watcher, channels = prepare(
        embedder,
        by_name,
        config=config,
        query=query,
        min_confidence=min_confidence,
        rate=rate,
        max_rate=max_rate,
        live=live,
        stats=stats if stats is not None else {},
        notify=notify,
        stop=stop,
        options=options,
    )
    return _all(watcher, channels)


def _all(watcher: Watcher, channels: list[Channel]) -> Generator[tuple[str, Segment], None, None]:
    with closing(watcher.online()) as found:
        for channel, segment in found:
            yield channel.name, segment
    failures = [channel for channel in channels if channel.failure is not None]
    if len(channels) == 1 and failures:
        assert failures[0].failure is not None
        raise failures[0].failure
    if failures:
        reasons = "; ".join(getattr(one.failure, "message", str(one.failure)) for one in failures)
        raise VideoError(f"{len(failures)} of {len(channels)} sources failed: {reasons}", fix="check them.")


def prepare(
    embedder: Embedder,
    sources: Mapping[str, Source],
    *,
    config: SelectiveConfig,
    query: str,
    min_confidence: float,
    rate: float | None,
    max_rate: float | None,
    live: LiveOptions | None,
    stats: dict[str, StreamStats],
    notify: Notify | None,
    stop: threading.Event | None,
    options: Mapping[str, Any],
) -> tuple[Watcher, list[Channel]]:
    """The loop and its channels, one per source; nothing is read yet.

    Raises:
        ConfigError: A setting is outside of its range.
        VideoError: An address of an unknown kind.
    """
    check_text(query, what="the query")
    check_minimum(embedder.model, min_confidence, answers=bool(query))
    for source in sources.values():
        check_source(source)
    lowest = live.min_fps if live is not None and live.min_fps is not None else config.fps / 4
    if lowest > config.fps:
        raise ConfigError(f"min_fps = {lowest:g} is above fps = {config.fps:g}.", fix="give a lower one.")
    max_pixels = embedder.processor.config.x_encoder.image.max_pixels
    channels = []
    for name, source in sources.items():
        notes = stats.setdefault(name, StreamStats())
        if rate is None:
            notes.threshold = config.threshold
        grid = Grid(config.fps)
        channel = Channel(
            name,
            open_source(source, grid=grid, live=live, max_pixels=max_pixels),
            grid=grid,
            segmenter=SelectiveDecoder(
                _Say(
                    embedder,
                    notes,
                    minimum=min_confidence,
                    options={**options, "task": "answer" if query else "caption"},
                ),
                config=config,
                rate=rate,
                max_rate=max_rate,
            ),
            stats=notes,
            notify=notify or (lambda notice: None),
            shared=len(sources) > 1,
        )
        channels.append(channel)
    pace = Pace(highest=config.fps, lowest=lowest)
    asked = query or embedder.model.config.prompts.caption
    return Watcher(embedder, channels, query=asked, pace=pace, stop=stop), channels


class _Say:
    """Words for rows that are sure enough, with a note of the time that they took."""

    def __init__(self, embedder: Embedder, stats: StreamStats, *, minimum: float, options: Mapping[str, Any]) -> None:
        self._embedder = embedder
        self._stats = stats
        self._minimum = minimum
        self._options = options

    def __call__(self, rows: Rows, classes: Rows | None) -> list[Words]:
        with self._stats.timed("decode"):
            written = self._embedder.write(rows, classes, **self._options)
        return [one if (one.confidence or 0.0) >= self._minimum else replace(one, text="") for one in written]


def settings(
    model: VLJEPA, *, fps: float | None, threshold: float | None, offline_threshold: float | None = None
) -> SelectiveConfig:
    """The decoder's own settings with what is asked for instead.

    Raises:
        ConfigError: One is outside of its range.
    """
    assert model.y_decoder is not None
    asked = {"fps": fps, "threshold": threshold, "offline_threshold": offline_threshold}
    changes = {name: value for name, value in asked.items() if value is not None}
    return validate(SelectiveConfig, {**model.y_decoder.config.selective.model_dump(), **changes}, where="stream")
