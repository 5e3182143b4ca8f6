"""The drawings of a stream's report as inline SVG: the change signal over its segments, and the time by stage.

Places along the time axis are in percent, so that texts and lines keep their shape at any width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vljepa.inference.stream_stats import Stage, StreamStats
from vljepa.inference.subtitles import clock

if TYPE_CHECKING:
    from vljepa.inference.selective import Segment

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_LABELS = 6
_MOST_TICKS = 3000
_PLOT, _STRIP, _ROW = 120, 26, 34


def change_chart(segments: Sequence[Segment], stats: StreamStats, *, uniform: float) -> str:
    """Change over time with threshold and boundaries, the segments below it, and when texts were decoded.

    Args:
        segments: What was yielded; each is a link to its caption, `#segment-NUMBER`.
        stats: Signal, threshold and duration.
        uniform: Rate of the plain way, drawn for comparison, per second.
    """
    span = stats.duration or 1.0

    def place(when: float) -> float:
        return min(max((when - stats.begin) / span, 0.0), 1.0)

    strip = _PLOT + 4
    rows = strip + _STRIP + 24
    regular = stats.uniform_decodes(uniform)
    parts = [
        f'<svg height="{rows + 2 * _ROW}" role="img" aria-label="Change of meaning over time">',
        *(_away(start, end, place) for start, end in stats.gaps),
        _signal(stats, place),
        *(_upright(place(one.start), 0, strip + _STRIP, "border") for one in segments[1:]),
        *(_band(one, number, strip, place) for number, one in enumerate(segments)),
        _axis(stats, place, strip + _STRIP + 15),
        _row(f"decoded: {stats.decodes}", rows, [place(one.time) for one in segments], "ticks"),
        _row(f"uniform, {uniform:g} Hz: {regular}", rows + _ROW, _regular(regular), "ticks uniform"),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def work_chart(stats: StreamStats) -> str:
    """One bar of the wall time by what it was spent on, with its legend."""
    worked: list[Stage] = ["encode", "predict", "decode"]
    rest = max(0.0, stats.wall - sum(stats.seconds[stage] for stage in worked))
    shares = [(str(stage), stats.seconds[stage]) for stage in worked] + [("rest", rest)]
    total = sum(seconds for _, seconds in shares) or 1.0
    bars, at = [], 0.0
    for name, seconds in shares:
        width = 100 * seconds / total
        bars.append(f'<rect class="{name}" x="{at:.3f}%" y="0" width="{width:.3f}%" height="18"/>')
        at += width
    read = min(100.0, 100 * stats.seconds["read"] / total)
    bars.append(f'<rect class="read" x="0" y="22" width="{read:.3f}%" height="6"/>')
    names = {"encode": "encode", "predict": "predict", "decode": "decode", "rest": "waiting and the rest"}
    entries = [_entry(name, names[name], seconds) for name, seconds in shares]
    entries.append(_entry("read", "read, in its own thread", stats.seconds["read"]))
    bar = f'<svg height="28" role="img" aria-label="Wall time by stage">{"".join(bars)}</svg>'
    return f'{bar}\n<ul class="legend">{"".join(entries)}</ul>'


def delay_panel(stats: StreamStats) -> str:
    """Panel of a live source's delay from frame to caption by stage; nothing for another, or before a caption."""
    shares, mean = stats.latency.shares(), stats.latency.mean()
    if not stats.live or not shares:
        return ""
    names = {
        "wait": "prepare and wait",
        "encode": "encode",
        "predict": "predict",
        "decide": "decide: wait for later frames",
        "decode": "decode",
    }
    bars, at = [], 0.0
    for stage, share in shares.items():
        bars.append(f'<rect class="{stage}" x="{100 * at:.3f}%" y="0" width="{100 * share:.3f}%" height="18"/>')
        at += share
    entries = [_entry(stage, names[stage], share * mean, digits=2) for stage, share in shares.items()]
    return (
        '<section class="panel" aria-labelledby="delay">\n'
        f'<h2 id="delay">From frame to caption <span class="hint">mean of the newest {len(stats.latency):,}: '
        f"{mean:.2f} s</span></h2>\n"
        f'<svg height="18" role="img" aria-label="Delay by stage">{"".join(bars)}</svg>\n'
        f'<ul class="legend">{"".join(entries)}</ul>\n</section>'
    )


def _away(start: float, end: float, place: Callable[[float], float]) -> str:
    left, right = 100 * place(start), 100 * place(end)
    return (
        f'<rect class="gap" x="{left:.3f}%" y="0" width="{max(right - left, 0.1):.3f}%" height="{_PLOT}">'
        f"<title>away from {clock(start)} to {clock(end)}</title></rect>"
    )


def _signal(stats: StreamStats, place: Callable[[float], float]) -> str:
    points = stats.signal.points()
    threshold = stats.threshold
    top = max([value for _, value in points] + [threshold or 0.0]) * 1.08 or 1.0
    base = f'<line class="frame" x1="0" y1="{_PLOT}" x2="100%" y2="{_PLOT}"/>'
    if not points:
        return base
    line = " ".join(f"{1000 * place(when):.1f},{100 - 100 * max(value, 0) / top:.2f}" for when, value in points)
    first, last = (1000 * place(points[at][0]) for at in (0, -1))
    drawn = (
        f'<svg x="0" y="0" width="100%" height="{_PLOT}" viewBox="0 0 1000 100" preserveAspectRatio="none">'
        f'<polygon class="area" points="{first:.1f},100 {line} {last:.1f},100"/>'
        f'<polyline class="change" vector-effect="non-scaling-stroke" points="{line}"/></svg>'
    )
    if threshold is None:
        return drawn + base
    height = _PLOT * (1 - threshold / top)
    return (
        f'{drawn}{base}<line class="threshold" x1="0" y1="{height:.1f}" x2="100%" y2="{height:.1f}"/>'
        f'<text class="threshold-name" x="100%" y="{height - 5:.1f}" text-anchor="end">threshold {threshold:.3g}</text>'
    )


def _band(segment: Segment, number: int, top: int, place: Callable[[float], float]) -> str:
    left, right = (100 * place(when) for when in (segment.start, segment.end))
    # Keyboards go through the captions themselves.
    return (
        f'<a class="band" href="#segment-{number}" tabindex="-1"><title>{clock(segment.start)}</title>'
        f'<rect x="{left:.3f}%" y="{top}" width="{max(right - left, 0.1):.3f}%" height="{_STRIP}"/></a>'
    )


def _axis(stats: StreamStats, place: Callable[[float], float], top: int) -> str:
    step = next((step for step in _STEPS if stats.duration / step <= _MOST_LABELS), _STEPS[-1])
    labels = []
    for number in range(int(stats.duration // step) + 1):
        when = stats.begin + number * step
        if number == 0 or place(when) <= 0.95:
            anchor = "start" if number == 0 else "middle"
            text = clock(when).partition(".")[0]
            labels.append(f'<text x="{100 * place(when):.3f}%" y="{top}" text-anchor="{anchor}">{text}</text>')
    return "".join(labels)


def _row(name: str, top: int, places: Iterable[float], kind: str) -> str:
    marks = "".join(f"M{1000 * at:.1f} 0V1" for at in places)
    return (
        f'<text x="0" y="{top + 14}">{name}</text>'
        f'<svg x="0" y="{top + 20}" width="100%" height="8" viewBox="0 0 1000 1" preserveAspectRatio="none">'
        f'<path class="{kind}" vector-effect="non-scaling-stroke" d="{marks}"/></svg>'
    )


def _regular(count: int) -> list[float]:
    """Middles of `count` equal stretches; so many that they run together are drawn as fewer."""
    count = min(count, _MOST_TICKS)
    return [(number + 0.5) / count for number in range(count)]


def _upright(at: float, top: int, bottom: int, kind: str) -> str:
    return f'<line class="{kind}" x1="{100 * at:.3f}%" y1="{top}" x2="{100 * at:.3f}%" y2="{bottom}"/>'


def _entry(kind: str, name: str, seconds: float, *, digits: int = 1) -> str:
    swatch = f'<svg aria-hidden="true"><rect class="{kind}" width="11" height="11" rx="2"/></svg>'
    return f"<li>{swatch}{name} <b>{seconds:.{digits}f} s</b></li>"
