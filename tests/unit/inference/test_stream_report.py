from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from tests.pages import HOSTILE, Page, check_self_contained
from vljepa.errors import DataError
from vljepa.inference.latency import STAGES, Delay
from vljepa.inference.selective import Segment
from vljepa.inference.stream_report import render_report, savings, write_report
from vljepa.inference.stream_stats import StreamStats, thumbnail


def segment(start, end, text="a cat"):
    middle = (start + end) / 2
    embedding = np.ones(1, dtype=np.float32)
    return Segment(start=start, end=end, time=middle, coherence=0.5, embedding=embedding, text=text)


def a_stream(count=12, *, text="a cat", seconds=8.0):
    segments = [segment(number * seconds, (number + 1) * seconds, text) for number in range(count)]
    stats = StreamStats(frames=int(count * seconds * 4), decodes=count, end=count * seconds, threshold=0.5, wall=10.0)
    stats.seconds.update(read=4.0, encode=5.0, predict=2.0, decode=1.0)
    stats.images = [thumbnail(Image.new("RGB", (32, 18), "red"), side=16) for _ in segments]
    for number in range(stats.frames):
        stats.signal.add(number / 4, 0.9 if number % 32 == 0 else 0.1)
    return segments, stats


def page_of(segments, stats, *, title="clip.mp4", about="model mini"):
    return render_report(title=title, about=about, segments=segments, stats=stats)


def test_captions_images_and_links():
    page = Page(page_of(*a_stream()))

    assert len(page.all("li", **{"class": "card"})) == len(page.all("img")) == 12
    assert page.text.count("a cat") == 12
    targets = {found["id"] for found in page.all("li", **{"class": "card"})}
    assert {found["href"].removeprefix("#") for found in page.all("a", **{"class": "when"})} == targets
    assert {found["href"].removeprefix("#") for found in page.all("a", **{"class": "band"})} == targets
    assert "threshold 0.5" in page.text


def test_decodes_stand_beside_uniform_ones():
    segments, stats = a_stream()

    assert savings(stats) == "12 decodes instead of 96 at 1 Hz: 8.0x fewer"
    page = Page(page_of(segments, stats))
    assert "8.0x fewer decodes" in page.text
    assert "12 instead of 96 at 1 Hz" in page.text


def test_no_saving_is_claimed_where_there_is_none():
    assert savings(StreamStats(decodes=3, end=3.0)) == "3 decodes instead of 3 at 1 Hz"
    assert savings(StreamStats(decodes=1, end=0.25)) == "1 decode instead of 1 at 1 Hz"
    assert savings(StreamStats()) == "0 decodes instead of 0 at 1 Hz"


def test_the_time_is_split_and_adds_up():
    page = Page(page_of(*a_stream()))

    widths = [
        float(found["width"].rstrip("%"))
        for kind in ("encode", "predict", "decode", "rest")
        for found in page.all("rect", **{"class": kind})
        if found["width"].endswith("%")
    ]
    assert widths == pytest.approx([50, 20, 10, 20])


def test_whatever_a_name_or_a_caption_holds_is_text():
    segments, stats = a_stream(2, text=HOSTILE)

    page = Page(page_of(segments, stats, title=HOSTILE, about=HOSTILE))

    assert len(page.all("script")) == 1
    assert all("onerror" not in found for _, found in page.elements)
    assert len(page.all("img")) == 2
    assert page.text.count("<script>alert(1)</script>") >= 4
    assert "$title" in page.text
    assert "\x00" not in page.text


def test_it_is_self_contained_and_its_policy_fits():
    check_self_contained(page_of(*a_stream()), links="#segment-")


@pytest.mark.parametrize("threshold", [None, 0.0, 50.0])
def test_odd_streams_have_a_page_too(threshold):
    stats = StreamStats(threshold=threshold)
    assert "nothing to say" in page_of([], stats)

    stats = StreamStats(frames=1, decodes=1, end=0.25, threshold=threshold)
    assert "1 instead of 1 at 1 Hz" in page_of([segment(0, 0.25)], stats)
    assert "nan" not in page_of([segment(0, 0.25)], stats).lower().replace("nance", "")


def test_a_day_of_video_stays_a_small_page():
    segments, stats = a_stream(1000)
    segments = [segment(80.0 * number, 80.0 * number + 80) for number in range(1000)]
    stats.end, stats.images = 80_000.0, []

    assert len(page_of(segments, stats)) < 1_500_000


def test_the_file_is_whole_or_not_there(tmp_path):
    segments, stats = a_stream(1)
    path = tmp_path / "report.html"
    write_report(path, title="\udcff", about="", segments=segments, stats=stats)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [path]

    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "none" / "report.html", title="", about="", segments=segments, stats=stats)


def a_live_stream(**settings):
    segments, stats = a_stream(**settings)
    began = datetime(2026, 11, 25, 4, 10, 57, tzinfo=UTC)
    walls = [began + timedelta(seconds=one.start) for one in segments]
    segments = [replace(one, began=wall, ended=wall) for one, wall in zip(segments, walls, strict=True)]
    stats.live, stats.began, stats.dropped = True, began, 17
    stats.was_away(20.0, 32.5)
    stats.rates.append((40.0, 2.0))
    for _ in range(3):
        stats.latency.add(Delay(wait=0.05, encode=0.1, predict=0.05, decide=1.0, decode=0.3))
    return segments, stats


def test_a_live_stream_shows_its_gaps_drops_delay_and_times_on_the_wall():
    page = Page(page_of(*a_live_stream()))

    assert len(page.all("rect", **{"class": "gap"})) == 1
    assert "away from 00:20.0 to 00:32.5" in page.text
    assert "17" in page.text
    assert "12.5 s away in all" in page.text
    assert "lowest 2 per second" in page.text
    assert "1.50 s" in page.text
    for stage in STAGES:
        assert page.all("rect", **{"class": stage})
    wall = datetime(2026, 11, 25, 4, 10, 57, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert wall in page.text


def test_a_file_has_none_of_that():
    page = Page(page_of(*a_stream()))

    assert page.all("rect", **{"class": "gap"}) == page.all("rect", **{"class": "decide"}) == []
    assert "Gaps" not in page.text


def test_images_of_the_newest_segments_stay_with_their_segments():
    segments, stats = a_live_stream()
    red, blue = (thumbnail(Image.new("RGB", (32, 18), colour), side=16) for colour in ("red", "blue"))
    stats.images = deque([red] * 2 + [blue], maxlen=3)
    stats.decodes = 5000
    page = Page(page_of(segments[-3:], stats))
    sources = [found["src"] for found in page.all("img")]

    assert sources[0] == sources[1] != sources[2]
    assert "the newest 3 of 5,000" in page.text
