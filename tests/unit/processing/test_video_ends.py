"""How much may be missing at a video's end: half a second, or a hundredth of a long one."""

import pytest

from tests.videos import write_video
from vljepa.errors import VideoError
from vljepa.processing.video_file import VideoFile

CAP = 10_000_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three seconds, ten frames in each."""
    return write_video(tmp_path_factory.mktemp("ends") / "clip.mp4", count=30)


def complaint(clip, declared, monkeypatch):
    """What is said after the last frame when the file says that it is so long."""
    with VideoFile(clip, max_pixels=CAP) as video:
        monkeypatch.setattr(video, "_stream_duration", lambda: declared)
        shots = 0
        try:
            for _ in video.shots(0.0):
                shots += 1
        except VideoError as error:
            assert shots == 30, "whatever is said is said after all that could be read"
            return error.message
        return None


@pytest.mark.parametrize(("declared", "told"), [(3.0, False), (3.45, False), (3.55, True), (4.0, True)])
def test_half_a_second_may_be_missing(clip, monkeypatch, declared, told):
    said = complaint(clip, declared, monkeypatch)
    assert (said is not None) == told
    if said is not None:
        assert f"breaks off after 3.00 s of {declared:.2f} s" in said


@pytest.mark.parametrize(("missing", "told"), [(0.9, False), (1.1, True)])
def test_of_a_long_one_a_hundredth(clip, monkeypatch, missing, told):
    """The same frames, slowed down to 300 s."""
    seconds = VideoFile._seconds
    monkeypatch.setattr(VideoFile, "_seconds", lambda self, stamp: 100 * seconds(self, stamp))
    monkeypatch.setattr(VideoFile, "_nominal", lambda self: 10.0)
    end = 290.0 + 0.1  # the last frame begins at 290 s, and stays as long as the file says: a tenth of a second
    declared = end / (1 - missing / 100)
    assert (complaint(clip, declared, monkeypatch) is not None) == told


def test_a_file_that_does_not_say_how_long_it_is_is_whole(clip, monkeypatch):
    assert complaint(clip, None, monkeypatch) is None
