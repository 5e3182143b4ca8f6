"""Standard input as a live source: real pipes."""

import threading
import time

import pytest
from PIL import Image

from tests.live import file_as_input, standard_input
from tests.unit.processing.live_answers import GIF, source_of, things
from tests.videos import grey, plain, seen, write_video


def images(kind):
    def write(file):
        for number in range(12):
            if kind == "raw":
                file.write(plain(number, (32, 24)).tobytes())
            else:
                plain(number, (32, 24)).save(file, kind)

    return write


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("PNG", {}), ("raw", {"size": (32, 24)})])
def test_images_on_standard_input(kind, options):
    source = source_of("-", source_fps=8.0, **options)
    with standard_input(images(kind)):
        found, error = things(source)

    assert error is None
    assert [one.time for one in found] == [number / 8 for number in range(12)]
    assert [seen(one.image) for one in found] == pytest.approx([grey(number) for number in range(12)], abs=4)
    assert source.live
    assert not source.drops


def test_without_a_rate_images_have_the_time_of_their_arrival():
    with standard_input(images("JPEG")):
        found, _ = things(source_of("-", drop=True))

    assert found[0].time == 0
    assert found[-1].time < 5
    assert source_of("-", drop=True).drops


@pytest.mark.parametrize("ending", ["mkv", "ts", "nut"])
def test_a_container_on_standard_input_keeps_its_times(tmp_path, ending):
    content = write_video(tmp_path / f"clip.{ending}", count=20, fps=10, codec="mpeg4").read_bytes()
    with standard_input(lambda file: file.write(content)):
        found, error = things(source_of("-", fps=10.0))

    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 10 for number in range(20)], abs=2e-3)


def test_an_image_that_stays_is_looked_at_again(tmp_path):
    """As in a file: a slide that is shown for two seconds counts for two."""
    content = write_video(tmp_path / "slides.mkv", times=[0.0, 0.1, 0.2, 2.2, 2.3]).read_bytes()
    with standard_input(lambda file: file.write(content)):
        found, error = things(source_of("-", fps=4.0))

    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 4 for number in range(len(found))], abs=2e-3)
    assert [seen(one.image) for one in found[:9]] == pytest.approx([grey(0), *[grey(2)] * 8], abs=4)


def test_an_mp4_whose_index_comes_last_is_read_from_a_file_and_explained_from_a_pipe(tmp_path):
    noise = Image.effect_noise((320, 240), 90).convert("RGB")
    clip = write_video(tmp_path / "clip.mp4", size=noise.size, make=lambda number, size: noise.rotate(number))
    assert clip.stat().st_size > 200_000, "more than FFmpeg keeps of a pipe"
    with file_as_input(clip):
        found, error = things(source_of("-", fps=10.0))
    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 10 for number in range(20)], abs=2e-3)

    with standard_input(lambda file: file.write(clip.read_bytes())):
        found, error = things(source_of("-", fps=10.0))
    assert found == []
    assert "an MP4 with its index at the end" in error.message
    assert "faststart" in error.fix


def test_standard_input_that_is_no_video_says_so():
    for content, said in ((b"hello" * 1000, "is not a readable video"), (GIF, "in a format that is not read")):
        with standard_input(lambda file, content=content: file.write(content)):
            found, error = things(source_of("-"))

        assert found == []
        assert f"'standard input' {said}" in error.message or f"'standard input' is {said}" in error.message


def test_silence_on_standard_input_ends_when_asked():
    hold, halted = threading.Event(), threading.Event()
    with standard_input(lambda file: hold.wait(30)):
        threading.Timer(0.2, halted.set).start()
        begin = time.monotonic()
        things(source_of("-"), halted.is_set)
        seconds = time.monotonic() - begin
        hold.set()

    assert seconds < 2
