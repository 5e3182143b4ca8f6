import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from vljepa.inference.notices import Notice
from vljepa.inference.selective import Segment
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.subtitles import (
    VTT_HEADER,
    caption_line,
    clock,
    json_line,
    notice_line,
    srt_cue,
    summary_line,
    vtt_cue,
)


def segment(text="a cat", *, start=0.0, end=1.5, coherence=0.75, confidence=0.5):
    embedding = np.ones(1, dtype=np.float32)
    middle = (start + end) / 2
    return Segment(
        start=start, end=end, time=middle, coherence=coherence, embedding=embedding, text=text, confidence=confidence
    )


def test_srt():
    cue = srt_cue(segment(start=3661.5, end=3723.0406), 12)

    assert cue == "12\n01:01:01,500 --> 01:02:03,041\na cat\n\n"


def test_vtt():
    assert VTT_HEADER == "WEBVTT\n\n"
    assert vtt_cue(segment(start=0.25, end=360000.5)) == "00:00:00.250 --> 100:00:00.500\na cat\n\n"


def test_json_lines():
    line = json_line(segment('a "cat"\n\u2028on <b>', start=1.23456, end=2.0, coherence=0.123456, confidence=0.654321))

    assert line.count("\n") == 1
    assert line.isascii()
    assert json.loads(line) == {
        "start": 1.235,
        "end": 2.0,
        "time": 1.617,
        "coherence": 0.1235,
        "confidence": 0.6543,
        "text": 'a "cat"\n\u2028on <b>',
    }


HOSTILE = "one\n\ntwo\r\n3\u2028four --> 00:00:09,000\x00\x1b[31m <script>&amp;{\\an8}"


@pytest.mark.parametrize("cue", [lambda one: srt_cue(one, 1).partition("\n")[2], vtt_cue])
def test_no_text_can_end_a_cue_or_begin_another(cue):
    written = cue(segment(HOSTILE))

    timing, text, *rest = written.split("\n")
    assert rest == ["", ""]
    assert " --> " in timing
    assert "-->" not in text
    assert "<" not in text
    assert text.isprintable()
    assert text.startswith("one two 3 four --")


def test_players_show_markup_as_text():
    assert "\u2039script\u203a&amp;(\\an8)" in srt_cue(segment(HOSTILE), 1)
    assert "&lt;script&gt;&amp;amp;{\\an8}" in vtt_cue(segment(HOSTILE))


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (1.0, 1.0004), (1.0, 0.5)])
def test_a_segment_of_no_time_still_shows(start, end):
    assert "00:00:01,000 --> 00:00:01,001" in srt_cue(segment(start=start, end=end), 1)


def test_neighbours_meet_and_times_are_never_negative():
    first, second = srt_cue(segment(start=-0.04, end=1.0005), 1), srt_cue(segment(start=1.0005, end=2), 2)

    assert first.split("\n")[1].startswith("00:00:00,000 --> ")
    assert first.split("\n")[1].split()[2] == second.split("\n")[1].split()[0]


@pytest.mark.parametrize("text", [None, "", " \n "])
def test_silence_is_no_cue(text):
    assert srt_cue(segment(text), 1) == vtt_cue(segment(text)) == ""


def test_clock():
    assert [clock(seconds) for seconds in (0, 12.34, 59.96, 3599.99, 3661.25, -1)] == [
        "00:00.0",
        "00:12.3",
        "01:00.0",
        "1:00:00.0",
        "1:01:01.2",
        "00:00.0",
    ]


WHEN = datetime(2026, 11, 25, 4, 10, 57, 146_566, tzinfo=timezone(timedelta(hours=2)))


def live(text="a cat"):
    return replace(segment(text), began=WHEN, ended=WHEN + timedelta(seconds=1.5))


def test_a_live_segment_has_the_wall_clock_in_iso_8601():
    record = json.loads(json_line(live(), source="door"))

    assert record["began"] == "2026-11-25T02:10:57.146+00:00"
    assert record["ended"] == "2026-11-25T02:10:58.646+00:00"
    assert record["source"] == "door"
    assert (record["start"], record["end"]) == (0.0, 1.5)
    assert "began" not in json.loads(json_line(segment()))


def test_a_line_for_people():
    assert caption_line(segment(), source=None) == "[00:00.0 - 00:01.5] a cat"
    line = caption_line(live(), source="door")
    written, _, rest = line.partition(" ")
    assert datetime.fromisoformat(written) == WHEN.replace(microsecond=0)
    assert rest == "[00:00.0 - 00:01.5] door: a cat"


def test_subtitles_of_a_live_stream_stay_relative():
    assert srt_cue(live(), 1) == srt_cue(segment(), 1)
    assert vtt_cue(live()) == vtt_cue(segment())


def test_what_happened_as_json_lines():
    notice = Notice("door", "back", 12.3456, WHEN, "there again", since=10.0)

    assert json.loads(notice_line(notice)) == {
        "event": "back",
        "source": "door",
        "time": 12.346,
        "clock": "2026-11-25T02:10:57.146+00:00",
        "message": "there again",
        "since": 10.0,
    }
    summary = json.loads(summary_line("door", StreamStats(frames=8, dropped=3)))
    assert (summary["event"], summary["source"], summary["frames"], summary["dropped"]) == ("end", "door", 8, 3)
