"""Segments as lines, subtitles (SRT, WebVTT) and JSON lines, one at a time, so that a file is good at every moment."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from vljepa.inference.notices import Notice
    from vljepa.inference.selective import Segment
    from vljepa.inference.stream_stats import StreamStats

VTT_HEADER = "WEBVTT\n\n"

# SRT has no escapes, but players read tags and braces: look-alikes of them are just text. No `-->` is left either.
_SRT_TEXT = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})
_VTT_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def srt_cue(segment: Segment, number: int) -> str:
    """One SubRip cue with the empty line after it; nothing where there is no text.

    Args:
        segment: A decoded segment. One that rounds to no time at all is shown for a millisecond.
        number: Of the cue, from 1.
    """
    text = _line(segment).translate(_SRT_TEXT)
    begin, end = (_stamp(millis, ",") for millis in _millis(segment))
    return f"{number}\n{begin} --> {end}\n{text}\n\n" if text else ""


def vtt_cue(segment: Segment) -> str:
    """One WebVTT cue with the empty line after it, to come after `VTT_HEADER`; nothing where there is no text."""
    text = _line(segment).translate(_VTT_TEXT)
    begin, end = (_stamp(millis, ".") for millis in _millis(segment))
    return f"{begin} --> {end}\n{text}\n\n" if text else ""


def caption_line(segment: Segment, *, source: str | None) -> str:
    """A line for people: the wall's clock of a live stream, start and end, the source where it is named, the text."""
    began = f"{segment.began.astimezone().isoformat(timespec='seconds')} " if segment.began is not None else ""
    where = f"{source}: " if source is not None else ""
    return f"{began}[{span(segment.start, segment.end)}] {where}{segment.text or ''}"


def json_line(segment: Segment, *, source: str | None = None) -> str:
    """One line of JSON: `start`, `end` and `time` in seconds, `coherence`, `text` as it was decoded, its `confidence`.

    Of a live stream also `began` and `ended`, the wall's clock in ISO 8601 and UTC; with the source's name, `source`.
    """
    record: dict[str, Any] = {
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "time": round(segment.time, 3),
        "coherence": round(segment.coherence, 4),
        "text": segment.text,
        "confidence": None if segment.confidence is None else round(segment.confidence, 4),
    }
    if segment.began is not None and segment.ended is not None:
        record |= {"began": _iso(segment.began), "ended": _iso(segment.ended)}
    if source is not None:
        record["source"] = source
    return json.dumps(record) + "\n"


def notice_line(notice: Notice) -> str:
    """One line of JSON about what happened to a live source: `event`, `source`, `time`, `clock`, `message`."""
    record = {
        "event": notice.kind,
        "source": notice.source,
        "time": round(notice.time, 3),
        "clock": _iso(notice.clock),
        "message": notice.message,
    }
    if notice.since is not None:
        record["since"] = round(notice.since, 3)
    return json.dumps(record) + "\n"


def summary_line(source: str, stats: StreamStats) -> str:
    """One line of JSON at the end of a live source: `event` is `end`, and the numbers of `StreamStats.summary`."""
    return json.dumps({"event": "end", "source": source, **stats.summary()}) + "\n"


def clock(seconds: float) -> str:
    """A time for people, to a tenth of a second: 00:12.3, and 1:00:12.3 from an hour on."""
    minutes, tenths = divmod(max(0, round(10 * seconds)), 600)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{tenths // 10:02}.{tenths % 10}"


def span(start: float, end: float) -> str:
    """A stretch of time for people: 00:12.3 - 00:15.0."""
    return f"{clock(start)} - {clock(end)}"


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds")


def _line(segment: Segment) -> str:
    """Text in one line: an empty line would end the cue."""
    return " ".join("".join(char if char.isprintable() else " " for char in segment.text or "").split())


def _millis(segment: Segment) -> tuple[int, int]:
    begin = max(0, round(1000 * segment.start))
    return begin, max(begin + 1, round(1000 * segment.end))


def _stamp(millis: int, point: str) -> str:
    seconds, millis = divmod(millis, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{millis:03}"
