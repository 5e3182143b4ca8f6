import io
import itertools

from PIL import Image

from vljepa.inference.stream_stats import Peaks, StreamStats, Thumbnails, thumbnail


def test_a_short_signal_is_kept_as_it_is():
    peaks = Peaks(limit=8)
    for number in range(7):
        peaks.add(number / 4, number % 3)

    assert peaks.points() == [(number / 4, number % 3) for number in range(7)]


def test_a_long_signal_keeps_its_peaks_and_its_bound():
    peaks = Peaks(limit=64)
    for number in range(10_000):
        peaks.add(number / 4, 9.0 if number % 1000 == 777 else 0.1)

    points = peaks.points()

    assert 32 <= len(points) <= 65
    assert [when for when, value in points if value == 9.0] == [(777 + 1000 * k) / 4 for k in range(10)]
    assert all(one[0] < other[0] for one, other in itertools.pairwise(points))


def test_thumbnails_of_a_long_segment_are_bounded_and_spread():
    thumbnails = Thumbnails(limit=16)
    for number in range(5000):
        thumbnails.add(number / 4, str(number).encode())

    assert len(thumbnails) <= 16
    for when in (0, 300, 625, 1000, 1240):
        assert abs(int(thumbnails.nearest(when)) / 4 - when) <= 1250 / 8


def test_after_a_segment_thumbnails_are_dense_again():
    thumbnails = Thumbnails(limit=16)
    for number in range(1000):
        thumbnails.add(number / 4, str(number).encode())
    thumbnails.forget(before=249.75)
    for number in range(1000, 1008):
        thumbnails.add(number / 4, str(number).encode())

    assert thumbnails.nearest(251.25) == b"1005"
    assert thumbnails.nearest(0) == b"1000"  # 999 had not been kept


def test_no_thumbnail_where_none_was_taken():
    assert Thumbnails().nearest(3.0) is None


def test_a_thumbnail_is_a_small_jpeg_in_the_same_shape():
    image = Image.open(io.BytesIO(thumbnail(Image.new("RGB", (1920, 1080), "red"), side=64)))

    assert (image.format, image.size) == ("JPEG", (64, 36))


def test_uniform_decodes_are_one_per_second_of_video():
    assert [StreamStats(begin=5.0, end=5.0 + length).uniform_decodes() for length in (0, 0.25, 1, 1.25, 96)] == [
        0,
        1,
        1,
        2,
        96,
    ]
    assert StreamStats(end=96).uniform_decodes(0.5) == 48
    assert StreamStats(end=96, gap_seconds=16.0).uniform_decodes() == 80


def test_work_is_counted_by_stage():
    stats = StreamStats()
    for _ in range(3):
        with stats.timed("encode"):
            pass

    assert stats.seconds["encode"] > 0
    assert stats.seconds["decode"] == 0


def test_of_days_only_the_newest_events_and_images_are_kept_and_all_are_counted():
    stats = StreamStats(thumbnails=True, most_images=7)
    for number in range(3000):
        stats.was_away(10.0 * number, 10.0 * number + 1.5)
        stats.paced(2.0)
        stats.images.append(bytes(number % 5))

    assert (len(stats.gaps), len(stats.rates), len(stats.images)) == (1000, 1000, 7)
    assert stats.gaps[-1] == (29990.0, 29991.5)
    assert (stats.gap_count, stats.gap_seconds) == (3000, 4500.0)
    assert stats.summary()["gaps"] == 3000
    assert (stats.rate_count, stats.summary()["rate_changes"]) == (3000, 3000)


def test_the_most_that_a_frame_was_late_stays():
    stats = StreamStats()
    for seconds in (0.1, 2.5, 0.2):
        stats.lagged(seconds)

    assert (stats.lag, stats.highest_lag) == (0.2, 2.5)
    assert stats.summary()["highest_lag"] == 2.5


def test_a_first_connection_that_took_long_is_no_gap_in_the_stream():
    stats = StreamStats()
    stats.was_away(0.0, 0.0)

    assert (stats.gap_count, len(stats.gaps)) == (0, 0)


def test_images_of_a_file_are_all_kept():
    stats = StreamStats(thumbnails=True)
    stats.images.extend([None] * 5000)

    assert len(stats.images) == 5000
