"""What `vljepa stream` does with its options: sources to words, files on the way, a page and a summary at the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from vljepa.cli.output import note
from vljepa.cli.stream_events import StreamEvents
from vljepa.cli.stream_files import StreamFiles
from vljepa.errors import ConfigError, VideoError
from vljepa.stop_signals import STOP_SIGNALS

if TYPE_CHECKING:
    from vljepa.configs import LiveOptions
    from vljepa.inference.frame_sources import Source
    from vljepa.inference.notices import Notice
    from vljepa.inference.selective import Segment
    from vljepa.inference.stream_stats import StreamStats
    from vljepa.integrations.event_targets import Target

_BROKEN_PIPE = 141
"""What a shell says of a program that SIGPIPE has ended."""
_MOST_CARDS = 1000
"""Captions with images on the page of a live source, which may run for days."""


def check_sources(sources: Sequence[str], *, offline: bool, outputs: Mapping[str, str | None]) -> dict[str, Source]:
    """The sources by name, before a model is loaded.

    Raises:
        ConfigError: What is for one source, or for a video with an end, is asked for other ones.
        VideoError: There is no such file, or an address of an unknown kind.
    """
    from vljepa.inference.frame_sources import is_live, named

    for source in sources:
        if is_live(source):
            if offline:
                raise ConfigError(
                    "--offline looks at all of a video, and a live source has no end.", fix="leave it out."
                )
        elif not Path(source).exists():
            raise VideoError(f"there is no video {source!r}.", fix="check the path.")
    single = [f"--{kind}" for kind in ("srt", "vtt", "html") if outputs.get(kind) is not None]
    single += ["--offline"] * offline
    if len(sources) > 1 and single:
        raise ConfigError(f"{single[0]} is for one source, not {len(sources)}.", fix="use --jsonl, or run it for each.")
    return named(sources)


def live_options(*, size: str | None, **given: Any) -> LiveOptions:
    """Settings of live sources as the options have them.

    Raises:
        ConfigError: One is outside of its range.
    """
    from vljepa.configs import LiveOptions, validate

    width, _, height = (size or "").partition("x")
    if size is not None and not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f"--size {size!r} is no size.", fix="give WIDTHxHEIGHT, such as 640x480.")
    pair = None if size is None else (int(width), int(height))
    return validate(LiveOptions, {**given, "size": pair}, where="stream")


def follow(
    sources: Mapping[str, Source],
    *,
    outputs: Mapping[str, str | None],
    targets: Sequence[Target],
    about: str,
    loading: Mapping[str, Any],
    **settings: Any,
) -> int:
    """Load the model, follow the sources to their end or until a signal, and return the exit code.

    Args:
        sources: By name.
        outputs: Files by kind, as `check_outputs` has passed them.
        targets: Where events go.
        about: A line for the page.
        loading: As for `Embedder.from_pretrained`.
        settings: As for `stream`.
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.frame_sources import is_live
    from vljepa.inference.stream_report import write_report
    from vljepa.inference.stream_stats import StreamStats

    embedder = Embedder.from_pretrained(**loading)
    page = outputs.get("html")
    live = any(map(is_live, sources.values()))
    most = _MOST_CARDS if live else None
    stats = {name: StreamStats(thumbnails=page is not None, most_images=most) for name in sources}
    cards: deque[Segment] = deque(maxlen=0 if page is None else most)
    settings |= {"model": embedder.model, "processor": embedder.processor}
    try:
        files = StreamFiles(outputs, named=len(sources) > 1, live=live)
        events = StreamEvents(targets)

        def notify(notice: Notice) -> None:
            files.tell(notice)
            events.tell(notice)

        with _stopped_by_signals() as (stop, received), events, files:
            try:
                with closing(_segments(sources, stats=stats, notify=notify, stop=stop, **settings)) as found:
                    for name, segment in found:
                        events.add(segment, name=name)
                        files.add(segment, name=name)
                        cards.append(segment)
            finally:
                files.sum_up(stats)
    except BrokenPipeError:
        return _nobody_reads()
    finally:
        if page is not None and cards:
            [(name, notes)] = stats.items()
            title = Path(name).name if not notes.live else name
            write_report(Path(page), title=title, about=about, segments=list(cards), stats=notes)
    _say_savings(stats)
    return 128 + received[0] if received else 0


def _segments(
    sources: Mapping[str, Source], *, stats: dict[str, StreamStats], method: str, **settings: Any
) -> Generator[tuple[str, Segment], None, None]:
    from vljepa.inference.stream import stream
    from vljepa.inference.watch import watch

    if method == "online":
        yield from watch(sources, stats=stats, **settings)
        return
    [(name, source)] = sources.items()
    for segment in stream(source, method="offline", stats=stats[name], **settings):
        yield name, segment


def _say_savings(stats: Mapping[str, StreamStats]) -> None:
    from vljepa.inference.stream_report import savings

    for name, notes in stats.items():
        prefix = f"{name}: " if len(stats) > 1 else ""
        note(f"{prefix}{savings(notes)}; {notes.duration:.1f} s of video in {notes.wall:.1f} s")


@contextmanager
def _stopped_by_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """Ctrl-C, SIGTERM and SIGUSR1 set the event, and are listed; the second one ends it at once."""
    stop = threading.Event()
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield stop, received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nobody_reads() -> int:
    """End quietly, as `head` expects: nothing more is written, not even when Python closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE
