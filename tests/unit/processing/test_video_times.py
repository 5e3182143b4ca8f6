"""Times of frames that go back or leap ahead: joined recordings, long pauses, damage."""

import pytest

from tests.videos import write_video
from vljepa.errors import VideoError
from vljepa.processing.video_file import VideoFile, _Clock

CAP = 1_000_000


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Two seconds at 10 fps."""
    return write_video(tmp_path_factory.mktemp("videos") / "ten.mp4")


def test_a_clock_that_goes_back_or_far_ahead_is_put_right():
    clock = _Clock(0.1)
    raws = [0.0, 0.1, None, 0.25, 5.0, 4.9, 0.0, 0.1, 1e12, 1e12 + 0.1]
    times = [clock.tick(raw) for raw in raws]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.25, 5.0, 5.0, 5.1, 5.2, 5.3, 5.4], abs=1e-3)


class Stamped(VideoFile):
    """A video of ten frames per second some of whose frames have times that are 5,000 s too late."""

    def __init__(self, path, late):
        self._late = late
        super().__init__(path, max_pixels=CAP)

    def _own_time(self, frame):
        raw = super()._own_time(frame)
        return raw + 5000 * self._late(round(10 * raw))


@pytest.mark.parametrize("place", [8, 19])
def test_one_time_that_is_far_ahead_is_damage_and_no_gap(ten, place):
    times = []
    with Stamped(ten, lambda number: number == place) as video, pytest.raises(VideoError, match="damaged packets: 1"):
        times.extend(shot.time for shot in video.shots(0.0))
    assert times == pytest.approx([number / 10 for number in range(20)], abs=0.01)


def test_a_gap_that_the_frames_after_it_bear_out_is_one(ten, tmp_path):
    with Stamped(ten, lambda number: number >= 8) as video:
        times = [shot.time for shot in video.shots(0.0)]
    assert times[7:9] == pytest.approx([0.7, 5000.8], abs=0.01), "the control: it is not cut short"
    slides = write_video(tmp_path / "slides.mp4", times=[0.0, 0.1, 100.0, 300.0])
    with VideoFile(slides, max_pixels=CAP) as video:
        assert [shot.time for shot in video.shots(0.0)] == pytest.approx([0.0, 0.1, 100.0, 300.0], abs=0.01)
