import numpy as np
import pytest

from tests.videos import write_video
from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.inference.segments import cut_segments, read_segments, segment_settings

STORY = (("red", 2), ("green", 1), ("red", 1))


@pytest.fixture
def embedder(model, processor):
    return Embedder(model, processor)


def spans(segments):
    return [(one.start, one.end) for one in segments]


def test_scenes_become_segments_with_their_meaning(animation, embedder):
    segments, failure = read_segments(animation("a.gif", *STORY), embedder, config=segment_settings(embedder.model))

    assert failure is None
    assert spans(segments) == [(0, 2), (2, 3), (3, 4)]
    np.testing.assert_allclose([one.row_D for one in segments], [[1, 0, 0], [0, 1, 0], [1, 0, 0]], atol=1e-3)


def test_a_higher_threshold_makes_fewer_segments(animation, embedder):
    path = animation("a.gif", *STORY)

    def count(threshold):
        return len(read_segments(path, embedder, config=segment_settings(embedder.model, threshold=threshold))[0])

    assert [count(threshold) for threshold in (0.5, 3.0, 9.0)] == [3, 1, 1]
    with pytest.raises(ConfigError, match="offline_threshold"):
        segment_settings(embedder.model, threshold=-1)


def test_the_threshold_is_that_of_the_decoder_and_what_is_kept_is_the_mean(model):
    class Decoder:
        class config:  # noqa: N801
            selective = SelectiveConfig(offline_threshold=1.5, readout="exact", fps=2)

    model.y_decoder = Decoder()

    chosen = segment_settings(model)

    assert (chosen.offline_threshold, chosen.readout, chosen.fps) == (1.5, "mean", 2)


def test_the_best_frame_is_the_one_nearest_to_the_mean_not_the_middle():
    angles = np.array([0.0, 0.5, 0.1, 0.1, 0.1])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    [segment] = cut_segments(rows, np.arange(5) / 4, config=SelectiveConfig(offline_threshold=9))

    mean = rows.mean(0)
    np.testing.assert_allclose(segment.row_D, mean / np.linalg.norm(mean), rtol=1e-6)
    assert segment.time == np.argmax(rows @ mean) / 4 == 0.5
    assert np.linalg.norm(segment.row_D) == pytest.approx(1)


def test_rows_do_not_depend_on_how_frames_arrive(animation, embedder, monkeypatch):
    path = animation("a.gif", ("red", 4), ("blue", 1.5))
    sizes = []
    real = embedder.pixels
    monkeypatch.setattr(embedder, "pixels", lambda pixels: sizes.append(len(pixels)) or real(pixels))

    read_segments(path, embedder, config=segment_settings(embedder.model))

    assert sizes == [8, 8, 6]


def test_a_video_that_breaks_off_keeps_what_was_read(tmp_path, embedder):
    whole = write_video(tmp_path / "whole.mkv", count=40, fps=10)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    settings = segment_settings(embedder.model)

    complete, nothing_wrong = read_segments(whole, embedder, config=settings)
    segments, failure = read_segments(cut, embedder, config=settings)

    assert nothing_wrong is None
    assert complete[-1].end == pytest.approx(4, abs=0.3)
    assert failure is not None
    assert 0 < segments[-1].end < complete[-1].end


def test_what_is_no_video_has_no_segments_and_says_why(tmp_path, embedder):
    (tmp_path / "a.mp4").write_bytes(b"no video")

    segments, failure = read_segments(tmp_path / "a.mp4", embedder, config=segment_settings(embedder.model))

    assert segments == []
    assert "not a readable video" in str(failure)
