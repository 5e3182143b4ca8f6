"""A video that is interrupted is gone on with where it was, and what comes out is the same."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.inference import segments
from vljepa.inference.index import Index
from vljepa.inference.index.frame_parts import FrameParts
from vljepa.inference.segments import KeptFrames

FRAMES = 100


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(segments, "PIECE", 16)


def scene(number, size):
    return Image.new("RGB", size, ((number // 7 * 80) % 256, (number // 12 * 110) % 256, 50 + number))


@pytest.fixture(params=[4, 10], ids=["seeks", "keyframe far away"])
def film(request, tmp_path):
    (tmp_path / "films").mkdir()
    return write_video(tmp_path / "films" / "film.mp4", count=FRAMES, fps=4, gop=request.param * 5, make=scene)


@pytest.fixture
def build(model, processor, tmp_path, monkeypatch):
    """Builds my.index, and is interrupted once so many frames are embedded; says how many were."""
    predict = model.predict

    def build(*, until=None, output="my.index", **options):
        model.modes.clear()

        def embedded():
            return sum(count for _, _, count in model.modes)

        def interrupt(*words):
            if until is not None and embedded() > until:
                raise KeyboardInterrupt
            return predict(*words)

        monkeypatch.setattr(model, "predict", interrupt)
        index = None
        try:
            index = Index.build(model, processor, tmp_path / "films", output=tmp_path / output, **options)
        except KeyboardInterrupt:
            assert until is not None
        return index, embedded()

    return build


def content(index):
    return list(index.entries), np.concatenate(index.entries.blocks).tobytes()


def pieces(tmp_path):
    return sorted((tmp_path / "my.index" / "shards").glob("*-frames.arrow"))


def test_whole_pieces_are_kept_and_the_index_is_the_same_to_the_bit(film, build, tmp_path):
    whole, frames = build(output="whole.index")
    assert frames == FRAMES
    build(until=40)
    assert len(pieces(tmp_path)) == 2
    build(until=30)
    assert len(pieces(tmp_path)) == 3, "of two interruptions"

    again, frames = build()

    assert len(again) > 3
    assert frames == FRAMES - 3 * 16
    assert content(again) == content(whole)
    assert pieces(tmp_path) == []


def test_pieces_of_a_video_that_is_done_are_gone_at_once(film, build, tmp_path):
    write_video(tmp_path / "films" / "second.mp4", count=FRAMES, fps=4, make=scene)
    build(until=FRAMES + 20)
    assert [one.name[-len("000000-frames.arrow") :] for one in pieces(tmp_path)] == ["000000-frames.arrow"]
    assert build()[1] == FRAMES - 16


def test_pieces_of_another_file_other_settings_or_damaged_are_not_gone_on_with(film, build, tmp_path):
    build(until=40)
    pieces(tmp_path)[1].write_bytes(b"no")
    assert build(until=200)[1] == FRAMES - 16
    for change in ({"threshold": 0.1}, {"again": True}):
        shutil.rmtree(tmp_path / "my.index")
        build(until=40, again=True)
        assert len(pieces(tmp_path)) == 2
        assert build(**change)[1] == FRAMES
        assert pieces(tmp_path) == []


def test_where_the_last_kept_frame_is_not_found_again_it_is_read_from_the_start(film, build, tmp_path, monkeypatch):
    whole, _ = build(output="whole.index")
    build(until=40)
    real = FrameParts.load

    def forged(self):
        return [KeptFrames(rows_TD=one.rows_TD, times_T=one.times_T, digest=b"other") for one in real(self)]

    monkeypatch.setattr(FrameParts, "load", lambda self: forged(self) if pieces(tmp_path) else [])
    again, frames = build()
    assert frames == FRAMES
    assert content(again) == content(whole)


def test_an_index_in_memory_keeps_nothing(film, model, processor, tmp_path):
    assert len(Index.build(model, processor, tmp_path / "films")) > 3
    assert not list(tmp_path.rglob("*.arrow"))
