"""A file is what its first bytes say."""

import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.processing.file_types import file_type, type_of_bytes


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"])
def test_images_whatever_they_are_called(tmp_path, kind):
    for name in ("photo", "photo.mp4", "photo.txt"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, kind)
        assert file_type(tmp_path / name) == "image"


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mp4", "libx264"), ("mov", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4"),
     ("ts", "libx264"), ("mpg", "mpeg2video"), ("flv", "flv"), ("m2ts", "libx264")],
)  # fmt: skip
def test_videos_whatever_they_are_called(tmp_path, ending, codec):
    fps = 25 if ending == "mpg" else 10
    film = write_video(tmp_path / f"film.{ending}", codec=codec, fps=fps, size=(640, 480), count=40)
    for name in ("film", "film.jpg", "film.txt"):
        (tmp_path / name).write_bytes(film.read_bytes())
        assert file_type(tmp_path / name) == "video"


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image"),
        (b"\0\0\0\x1cftypavis\0\0\0\0avifavismsf1", "image"),
        (b"\0\0\0\x14ftypM4A \0\0\0\0isom", None),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video"),
        (b"OggS" + b"\0" * 24 + b"\x01vorbis", None),
        (b"OggS" + b"\0" * 24 + b"\x80theora", "video"),
        (b"BMW is a car and no bitmap at all, or so", None),
        (b"P1 is where I parked", "image"),
        (b"Great expectations", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_signatures(head, found):
    assert type_of_bytes(head) == found


def test_a_text_of_many_g_is_no_transport_stream():
    assert type_of_bytes(b"G" + b" " * 187 + b"G" + b" " * 2000) is None
    assert type_of_bytes((b"G" + b"\0" * 187) * 6) == "video"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("broken.png", b"not an image", "image"),
        ("broken.mkv", b"not a video", "video"),
        ("code.ts", b"import x", None),
        ("photo.nef", b"MM\0*\0\0\0\x08", None),
        ("._photo.jpg", b"\xff\xd8\xff\xe0", None),
        ("notes.txt", b"a text", None),
        ("cut.HEIC", b"", "heic"),
    ],
)
def test_the_ending_counts_where_the_content_says_nothing(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    assert file_type(tmp_path / name) == found
