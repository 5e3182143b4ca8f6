"""`vljepa stream`: videos in words, live ones too, a caption whenever the meaning changes."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.options import (
    DecoderOption,
    DeviceOption,
    DtypeOption,
    MinConfidenceOption,
    ModelOption,
    NumBeamsOption,
)
from vljepa.cli.stream_events import event_targets
from vljepa.cli.stream_files import check_outputs
from vljepa.cli.stream_run import check_sources, follow, live_options


def stream(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A video, a folder of frames, an animated GIF or WebP; a camera (0 or /dev/video0); an address "
            "(rtsp, http, rtmp, udp, tcp and their secure kin); - for standard input.",
            show_default=False,
        ),
    ],
    query: Annotated[str, typer.Option("--query", help="Ask this instead of describing.")] = "",
    min_confidence: MinConfidenceOption = 0.0,
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
    min_fps: Annotated[
        float | None,
        typer.Option("--min-fps", help="Live: never look at fewer when the model is too slow; without it fps / 4."),
    ] = None,
    drop: Annotated[
        bool | None,
        typer.Option(
            "--drop/--no-drop",
            help="Live: when the model is too slow, drop the oldest waiting frame, or let the source wait; without it "
            "all but standard input drop.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Live: seconds without data after which a source counts as lost.")
    ] = 10.0,
    retries: Annotated[
        int, typer.Option("--retries", help="Live: attempts in a row to reach a lost source before giving it up.")
    ] = 10,
    max_wait: Annotated[
        float, typer.Option("--max-wait", help="Live: longest of the growing waits between them, in seconds.")
    ] = 30.0,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Standard input carries raw rgb24 frames of this size.")
    ] = None,
    source_fps: Annotated[
        float | None,
        typer.Option("--source-fps", help="Frames per second of standard input in a format without times."),
    ] = None,
    srt: Annotated[
        str | None, typer.Option("--srt", metavar="FILE", help="Write SubRip subtitles; - is stdout.")
    ] = None,
    vtt: Annotated[
        str | None, typer.Option("--vtt", metavar="FILE", help="Write WebVTT subtitles; - is stdout.")
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option(
            "--jsonl", metavar="FILE", help="Write JSON lines, of live sources after those in the file; - is stdout."
        ),
    ] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with images.")] = None,
    webhook: Annotated[
        list[str] | None,
        typer.Option("--webhook", metavar="URL", help="POST each caption there as a JSON event; several are fine."),
    ] = None,
    webhook_header: Annotated[
        list[str] | None,
        typer.Option("--webhook-header", metavar="HEADER", help='Of --webhook, such as "Authorization: Bearer TOKEN".'),
    ] = None,
    mqtt: Annotated[
        list[str] | None,
        typer.Option(
            "--mqtt", metavar="URL", help="Publish each caption as a JSON event: mqtt://USER:PASSWORD@HOST/TOPIC."
        ),
    ] = None,
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> int:
    """Watch videos and say what is there whenever the meaning changes.

    A live source that is lost is tried again, and its captions carry wall-clock times. Exit code 2: a
    source cannot be read or was given up; what it said is kept. Ctrl-C, SIGTERM and SIGUSR1 end it cleanly: the
    caption at hand is finished, every file is complete; exit code 130, 143 or 138.

    --webhook and --mqtt never hold the stream up: up to 1000 events wait for a receiver that is away, which is tried
    again; then the oldest are dropped, and their number is said at the end.

    Example: vljepa stream clip.mp4 --srt clip.srt --html report.html
    Example: vljepa stream rtsp://door/stream 0 --jsonl captions.jsonl
    Example: ffmpeg -i SOMETHING -f mjpeg - | vljepa stream -
    """
    outputs = {"jsonl": jsonl, "srt": srt, "vtt": vtt, "html": html}
    check_outputs(outputs)
    targets = event_targets(webhook or [], mqtt or [], headers=webhook_header or [])
    named = check_sources(sources, offline=offline, outputs=outputs)
    live = live_options(
        timeout=timeout,
        retries=retries,
        longest_wait=max_wait,
        drop=drop,
        min_fps=min_fps,
        size=size,
        source_fps=source_fps,
    )
    return follow(
        named,
        outputs=outputs,
        targets=targets,
        about=f"{'Offline' if offline else 'Online'}, model {model}{f', asked: {query}' if query else ''}",
        loading={"name": model, "device": device, "dtype": dtype, "decoder": decoder},
        method="offline" if offline else "online",
        query=query,
        min_confidence=min_confidence,
        threshold=threshold,
        rate=rate,
        max_rate=max_rate,
        fps=fps,
        live=live,
        num_beams=num_beams,
    )
