"""`vljepa stream`: a video in words, a caption whenever its meaning changes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import DecoderOption, DeviceOption, ModelOption, NumBeamsOption
from vljepa.cli.output import note
from vljepa.cli.stream_files import StreamFiles, check_outputs
from vljepa.errors import VideoError

if TYPE_CHECKING:
    from vljepa.inference.selective import Segment

_BROKEN_PIPE = 141
"""What a shell says of a program that SIGPIPE has ended."""


def stream(
    video: Annotated[
        Path, typer.Argument(metavar="FILE", help="A video, a folder of frames, or an animated GIF or WebP.")
    ],
    query: Annotated[str, typer.Option("--query", help="Ask this instead of describing.")] = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at all of it before saying anything; takes any number of captions.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, help="Change that counts; without it from validation.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Captions per second on average; the threshold follows.")
    ] = None,
    max_rate: Annotated[
        float | None, typer.Option("--max-rate", help="Without --offline: captions per second at most, on average.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Frames per second to look at; without it as in validation.")
    ] = None,
    srt: Annotated[
        str | None, typer.Option("--srt", metavar="FILE", help="Write SubRip subtitles; - is stdout.")
    ] = None,
    vtt: Annotated[
        str | None, typer.Option("--vtt", metavar="FILE", help="Write WebVTT subtitles; - is stdout.")
    ] = None,
    jsonl: Annotated[str | None, typer.Option("--jsonl", metavar="FILE", help="Write JSON lines; - is stdout.")] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures.")] = None,
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    device: DeviceOption = None,
) -> int:
    """Watch a video and say what is there whenever its meaning changes.

    Ctrl-C and SIGTERM end it cleanly: the caption at hand is finished, every file is complete; exit code 130 or 143.

    Example: vljepa stream clip.mp4 --srt clip.srt --html report.html
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.stream import stream as run
    from vljepa.inference.stream_report import savings, write_report
    from vljepa.inference.stream_stats import StreamStats

    texts = {"jsonl": jsonl, "srt": srt, "vtt": vtt}
    check_outputs({**texts, "html": html})
    if not video.exists():
        raise VideoError(f"there is no video {str(video)!r}.", fix="check the path.")
    embedder = Embedder.from_pretrained(model, device=device, decoder=decoder)
    stats = StreamStats(thumbnails=html is not None)
    with _stopped_by_signals() as (stop, received):
        segments = run(
            video,
            model=embedder.model,
            processor=embedder.processor,
            query=query,
            method="offline" if offline else "online",
            threshold=threshold,
            rate=rate,
            max_rate=max_rate,
            fps=fps,
            stats=stats,
            stop=stop,
            num_beams=num_beams,
        )
        seen: list[Segment] = []
        try:
            with closing(segments), StreamFiles(texts) as files:
                for segment in segments:
                    files.add(segment)
                    if html is not None:
                        seen.append(segment)
        except BrokenPipeError:
            return _nobody_reads()
        finally:
            if html is not None and seen:
                about = f"{'Offline' if offline else 'Online'}, model {model}{f', asked: {query}' if query else ''}"
                write_report(Path(html), title=video.name, about=about, segments=seen, stats=stats)
    note(f"{savings(stats)}; {stats.duration:.1f} s of video in {stats.wall:.1f} s")
    return 128 + received[0] if received else 0


@contextmanager
def _stopped_by_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """Ctrl-C and SIGTERM set the event, and are listed; the second one ends it at once."""
    stop = threading.Event()
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nobody_reads() -> int:
    """End quietly, as `head` expects: nothing more is written, not even when Python closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE
