"""A video in words: a caption whenever the meaning changes, while the video is still being read.

Shapes: T frames, D width of the shared space.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from typing import Any, Literal

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import LiveOptions
from vljepa.errors import ConfigError
from vljepa.inference.channel import Channel
from vljepa.inference.embed import Embedder
from vljepa.inference.frame_sources import Source, is_live, named
from vljepa.inference.notices import Notify
from vljepa.inference.selective import Segment
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.watch import prepare, settings
from vljepa.processing.processor import VLJEPAProcessor

Method = Literal["online", "offline"]


def stream(
    source: Source,
    *,
    model: VLJEPA,
    processor: VLJEPAProcessor,
    query: str = "",
    min_confidence: float = 0.0,
    method: Method = "online",
    fps: float | None = None,
    threshold: float | None = None,
    max_rate: float | None = None,
    rate: float | None = None,
    count: int | None = None,
    live: LiveOptions | None = None,
    stats: StreamStats | None = None,
    notify: Notify | None = None,
    stop: threading.Event | None = None,
    **options: Any,
) -> Generator[Segment, None, None]:
    """Cut a video where its meaning changes and say each segment in words, as soon as it is over.

    Frames are read in a thread while the model works. `online` memory does not grow with the video. `offline` looks at
    all of it before it decides, cuts it into any number of segments, and holds T x D floats (4 fps: about 22 MB per
    hour at D = 384).

    A live source is followed through its losses: the open segment is closed and said at once, the source is tried
    again after growing waits, and what comes then is a new segment. Frames that the model is too slow for are dropped,
    oldest first, and counted; when that goes on, fewer frames per second are looked at until there is time again.
    Segments carry wall-clock times. Times of the stream are those of the frames' arrival, in seconds since
    the first one, and go on through a loss; those of standard input in a format with times, and of a recording at an
    address, are the data's own. `watch` follows several sources at once.

    Args:
        source: A video file, a folder of frames, an animated GIF, WebP, AVIF or PNG. Or a live source as a `str`: a
            camera (`0` or `/dev/video0`), an address (`rtsp://`, `http://`, `rtmp://`, `udp://` and their like), or `-`
            for standard input in any format of `docs/live.md`. Or frames (`Frame`) as they come, of which at most `fps`
            per second are looked at; with `live` they are of now. Or bare images (PIL, arrays, tensors; RGB): all are
            looked at, and taken to be `fps` per second, or with `live` of now. An iterable that blocks for ever keeps
            its thread.
        model: A finished model with a Y-Decoder.
        processor: The processor that belongs to it.
        query: Ask this of every frame instead of describing it.
        min_confidence: Below this confidence a segment has no text.
        method: Decide on the way, or at the end.
        fps: Frames per second to look at; by default what the decoder's thresholds were fitted at.
        threshold: Change above which the meaning has changed; by default from validation.
        max_rate: Online: at most so many texts per second, on average.
        rate: So many texts per second on average; offline instead of a threshold, online the threshold follows it, as
            far as there is change.
        count: Offline: number of texts, instead of a threshold.
        live: Patience, retries, dropping and the lowest rate of a live source; files have no use for it.
        stats: Filled in on the way.
        notify: Told, between two segments, of losses, returns and changed rates of a live source.
        stop: Set it, from wherever, to end early: the open segment is still closed, decoded and yielded. A live source
            that hangs, or that is waited for, does not hold it up.
        options: As for `YDecoder.generate`, such as `num_beams`.

    Yields:
        Segments in the order of time, disjoint, that cover the video but for the gaps of a live source.

    Raises:
        CheckpointError: The model has no Y-Decoder.
        ConfigError: A setting or an option is outside of its range, or is for the other method.
        VideoError: `source` cannot be read, breaks off, goes back in time, or was given up: after the segments of what
            was read.

    Example:
        >>> for segment in stream("clip.mp4", model=model, processor=processor):  # doctest: +SKIP
        ...     print(segment.start, segment.end, segment.text)
        0.0 4.25 a cat on a sofa
    """
    _check(method, threshold=threshold, rate=rate, count=count, max_rate=max_rate)
    online = method == "online"
    if not online and is_live(source):
        raise ConfigError("offline looks at all of a video, and a live source has no end.", fix="leave offline out.")
    embedder = Embedder(model, processor)
    embedder.require_words()
    notes = stats if stats is not None else StreamStats()
    config = settings(
        model, fps=fps, threshold=threshold if online else None, offline_threshold=None if online else threshold
    )
    names = named([source])
    watcher, [channel] = prepare(
        embedder,
        names,
        config=config,
        query=query,
        min_confidence=min_confidence,
        rate=rate if online else None,
        max_rate=max_rate,
        live=live,
        stats=dict.fromkeys(names, notes),
        notify=notify,
        stop=stop,
        options=options,
    )
    if not online:
        notes.threshold = config.offline_threshold if rate is None and count is None else None
    return _segments(watcher.online() if online else watcher.offline(rate=rate, count=count), channel)


def _segments(
    found: Generator[tuple[Channel, Segment], None, None], channel: Channel
) -> Generator[Segment, None, None]:
    with closing(found):
        for _, segment in found:
            yield segment
    if channel.failure is not None:
        raise channel.failure


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
