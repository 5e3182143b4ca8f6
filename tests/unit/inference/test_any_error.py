"""No error of one file, whatever its type, ends a batch of others; an interrupt does."""

import pytest
from PIL import Image

from tests.unit.processing.test_upright import motion_jpeg, photo
from tests.videos import write_video
from vljepa.errors import ImageError
from vljepa.inference.caption import caption
from vljepa.inference.classify import classify
from vljepa.inference.index import Index
from vljepa.processing import image as image_module
from vljepa.processing import video_file


class OddError(Exception):
    """Of a library that nobody knows."""


# Classes: an error that lives on keeps the frames of where it was raised.
ERRORS = [OddError, KeyError, AttributeError, RecursionError, NotImplementedError, RuntimeError]


@pytest.fixture
def files(images):
    write_video(images / "film.mp4", make=lambda number, size: Image.new("RGB", size, "#00ff00"))
    (images / "broken.png").unlink()
    return images


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_index_names_the_image(model, processor, files, monkeypatch, error):
    plain = image_module.to_rgb

    def odd(image, **options):
        if "green" in options.get("name", ""):
            raise error("strange")
        return plain(image, **options)

    monkeypatch.setattr(image_module, "to_rgb", odd)
    index = Index.build(model, processor, files)
    assert {entry.path for entry in index.entries} == {"deep/blue.webp", "film.mp4", "red.png"}
    [skipped] = index.skipped
    assert skipped.path == "green.jpg"
    assert error.__name__ in skipped.reason
    assert index.passed_over == ["notes.txt"]


@pytest.mark.parametrize("where", ["_moving_image", "_shot", "_image", "_open", "_decode", "entry"])
@pytest.mark.parametrize("error", ERRORS[:2], ids=lambda error: error.__name__)
def test_an_index_names_the_video(model, processor, files, monkeypatch, error, where):
    def odd(*args, **options):
        raise error("strange")

    monkeypatch.setattr(video_file.VideoFile, where, odd)
    index = Index.build(model, processor, files)
    assert {entry.path for entry in index.entries} >= {"deep/blue.webp", "green.jpg", "red.png"}
    assert [skipped.path for skipped in index.skipped] == ["film.mp4"]


def test_frames_that_the_model_s_processor_stumbles_over_end_that_video_alone(model, processor, files):
    plain = processor.images

    def odd(images):
        if isinstance(images[0], Image.Image) and images[0].size == (64, 48):
            raise OddError("no such frame")
        return plain(images)

    processor.images = odd
    index = Index.build(model, processor, files)
    [skipped] = index.skipped
    assert "film.mp4' cannot be read (OddError: no such frame)" in skipped.reason
    assert len(index) == 3


def test_a_legal_video_with_side_data_that_pyav_does_not_know_is_indexed(model, processor, files):
    motion_jpeg(files / "camera.avi", photo(6))
    index = Index.build(model, processor, files)
    assert "camera.avi" in {entry.path for entry in index.entries}
    assert index.skipped == []


@pytest.mark.parametrize(("run", "options"), [(classify, {"labels": ["red", "blue"]}), (caption, {})])
def test_classify_and_caption_skip_it_by_name(speaker, files, run, options):
    model, processor = speaker["model"], speaker["processor"]
    plain = processor.images

    def odd(images):
        if "green" in str(images[0]):
            raise OddError("strange")
        return plain(images)

    processor.images = odd
    paths = [files / "red.png", files / "green.jpg", files / "deep" / "blue.webp"]
    broken = []
    found = run(model, processor, paths, **options, on_broken=lambda image, error: broken.append(error.message))
    assert len(found) == 2
    [said] = broken
    assert "green.jpg' cannot be read (OddError: strange)" in said
    with pytest.raises(ImageError, match=r"green\.jpg' cannot be read"):
        run(model, processor, paths, **options)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_said_to_the_program_is_not_taken_for_the_file(model, processor, files, monkeypatch, error):
    def odd(image, **options):
        raise error("strange")

    monkeypatch.setattr(image_module, "to_rgb", odd)
    with pytest.raises(error):
        Index.build(model, processor, files)


def test_the_model_s_own_errors_are_not_taken_for_the_file(model, processor, files, monkeypatch):
    def odd(*args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "predict", odd)
    with pytest.raises(RuntimeError, match="out of memory"):
        Index.build(model, processor, files)
