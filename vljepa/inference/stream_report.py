"""`--html`: one self-contained page about a stream: its captions with images, its change signal, what it cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa.inference.page import escaped, image_tag, render_page, write_page
from vljepa.inference.stream_chart import change_chart, delay_panel, work_chart
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.subtitles import clock, span

if TYPE_CHECKING:
    from vljepa.inference.selective import Segment

_UNIFORM = 1.0
"""Decodes per second of the plain way that the page compares with."""


def write_report(path: Path, *, title: str, about: str, segments: Sequence[Segment], stats: StreamStats) -> None:
    """Write the page; the file is complete or not there.

    Args:
        path: The file.
        title: Of the page, such as the video's name; whatever is in it is shown as text.
        about: A line below it.
        segments: What `stream` yielded.
        stats: What it noted, with one image per segment or none.

    Raises:
        DataError: The file cannot be written.
    """
    write_page(path, render_report(title=title, about=about, segments=segments, stats=stats))


def render_report(*, title: str, about: str, segments: Sequence[Segment], stats: StreamStats) -> str:
    """The page as a text; see `write_report`."""
    return render_page(
        "stream_report.html",
        title=escaped(title),
        about=escaped(about),
        figures=_figures(stats),
        change_hint="" if not segments else "choose a stretch below it for its caption",
        chart=change_chart(segments, stats, uniform=_UNIFORM),
        work_hint=f"reading{', and waiting for frames,' if stats.live else ''} runs beside the rest",
        work=work_chart(stats),
        delays=delay_panel(stats),
        captions_hint=_captions_hint(segments, stats),
        captions=_cards(segments, stats.images),
        footer="Made by <code>vljepa stream</code>. One text is decoded per segment, when its meaning has changed.",
    )


def savings(stats: StreamStats) -> str:
    """What was saved, in words: "12 decodes instead of 96 at 1 Hz: 8.0x fewer"."""
    done, uniform = stats.decodes, stats.uniform_decodes(_UNIFORM)
    compared = f"{done} decode{'' if done == 1 else 's'} instead of {uniform} at {_UNIFORM:g} Hz"
    return f"{compared}: {uniform / done:.1f}x fewer" if 0 < done < uniform else compared


def live_figures(stats: StreamStats) -> str:
    """How a live source went: "0 frames dropped, looked at within 0.2 s, 2 gaps (12.3 s), captions after ..."."""
    gaps = f"{stats.gap_count} gap{'' if stats.gap_count == 1 else 's'} ({stats.gap_seconds:.1f} s)"
    p50, p99 = stats.latency.quantile(0.5), stats.latency.quantile(0.99)
    late = f", captions after {p50:.2f} s (p50), {p99:.2f} s (p99)" if p50 is not None and p99 is not None else ""
    return f"{stats.dropped} frames dropped, looked at within {stats.highest_lag:.1f} s, {gaps}{late}"


def _figures(stats: StreamStats) -> str:
    done, uniform = stats.decodes, stats.uniform_decodes(_UNIFORM)
    fewer = f"{uniform / done:.1f}x fewer decodes" if 0 < done < uniform else f"{done} decodes"
    speed = f"{stats.duration / stats.wall:.1f}x playing speed" if stats.wall > 0 else ""
    rate = f"{stats.frames / stats.duration:.3g} per second" if stats.duration > 0 else ""
    each = f"{stats.duration / done:.1f} s per caption" if done else ""
    figures = [
        ("Words only when needed", fewer, f"{done} instead of {uniform} at {_UNIFORM:g} Hz"),
        ("Video", clock(stats.duration), each),
        ("Frames", f"{stats.frames:,}", rate),
        ("Wall time", f"{stats.wall:.1f} s", speed),
    ]
    figures += _live_blocks(stats) if stats.live else []
    blocks = (
        f"<div{' class=main' if number == 0 else ''}><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>"
        for number, (name, value, more) in enumerate(figures)
    )
    return "\n".join(blocks)


def _live_blocks(stats: StreamStats) -> list[tuple[str, str, str]]:
    since = _wall(stats.began) if stats.began is not None else ""
    gaps = f"{stats.gap_seconds:.1f} s away in all" if stats.gap_count else "never away"
    rates = f"lowest {min(fps for _, fps in stats.rates):g} per second" if stats.rates else "the rate never changed"
    p50, p99 = stats.latency.quantile(0.5), stats.latency.quantile(0.99)
    late = ("", "") if p50 is None or p99 is None else (f"{p50:.2f} s", f"99% within {p99:.2f} s")
    return [
        ("Live since", since.partition(" ")[2], since.partition(" ")[0]),
        ("Frame to caption", *late),
        ("Dropped frames", f"{stats.dropped:,}", rates),
        ("Gaps", f"{stats.gap_count:,}", gaps),
    ]


def _captions_hint(segments: Sequence[Segment], stats: StreamStats) -> str:
    if not segments:
        return ""
    newest = f"the newest {len(segments):,} of {stats.decodes:,}; " if len(segments) < stats.decodes else ""
    return f"{newest}left and right arrow keys go through them"


def _cards(segments: Sequence[Segment], images: Collection[bytes | None]) -> str:
    if not segments:
        return '<p class="about">There is nothing to say: no frame was looked at.</p>'
    # Those of the newest segments.
    shown = [*([None] * (len(segments) - len(images))), *images][-len(segments) :]
    cards = (
        _card(segment, number, image) for number, (segment, image) in enumerate(zip(segments, shown, strict=False))
    )
    return '<ol class="cards">\n' + "\n".join(cards) + "\n</ol>"


def _card(segment: Segment, number: int, image: bytes | None) -> str:
    tag = image_tag(image, alt=f"Frame at {clock(segment.time)}")
    began = f"{_wall(segment.began)} &middot; " if segment.began is not None else ""
    return (
        f'<li class="card" id="segment-{number}">{tag}<div class="words">'
        f'<a class="when" href="#segment-{number}">{began}{span(segment.start, segment.end)}</a>'
        f'<p class="text" dir="auto">{escaped(segment.text or "")}</p></div></li>'
    )


def _wall(when: datetime) -> str:
    """A time of this place: 2026-11-25 04:10:57."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
