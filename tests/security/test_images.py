"""An image from a stranger is read, refused in one line, or skipped: nothing else may happen."""

import random
import struct
import time
import tracemalloc
from contextlib import suppress

import pytest
from PIL import Image

from tests.security.hostile_images import bmp_header, encoded, gif_header, png_header, sound
from vljepa.errors import ImageError
from vljepa.processing.image import open_image

CAP = 1_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def opened(path):
    return open_image(path, max_pixels=CAP)


BOMBS = {
    "png just above": png_header(1_001, 1_000),
    "png": png_header(100_000, 100_000),
    "png at the limit": png_header(2**31 - 1, 2**31 - 1),
    "bmp": bmp_header(60_000, 60_000),
    "gif": gif_header(65_535, 65_535),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_by_its_header(tmp_path, content):
    (tmp_path / "bomb.png").write_bytes(content)
    tracemalloc.start()
    begin = time.perf_counter()

    with pytest.raises(ImageError, match="cap"):
        opened(tmp_path / "bomb.png")

    assert time.perf_counter() - begin < 1
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_image_at_the_cap_is_read(tmp_path):
    Image.new("L", (1_000, 1_000)).save(tmp_path / "large.png")
    assert opened(tmp_path / "large.png").size == (1_000, 1_000)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_anywhere_it_is_read_or_refused(tmp_path, kind):
    whole = sound(kind)
    file = tmp_path / "cut"
    refused = 0
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:length])
        try:
            opened(file)
        except ImageError:
            refused += 1
    assert refused >= 5


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what it thinks of the file
@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_it_is_read_or_refused(tmp_path, kind):
    generator = random.Random(kind)
    whole = sound(kind)
    file = tmp_path / "flipped"
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 8)):
            content[generator.randrange(min(len(content), 400))] = generator.randrange(256)
        file.write_bytes(content)
        with suppress(ImageError):
            assert opened(file).mode == "RGB"


SAVED_AS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "TIFF": ["CMYK", "YCbCr", "LAB", "PA", "I", "F", "I;16B"],
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in SAVED_AS.items() for mode in modes])
def test_every_mode_becomes_rgb(tmp_path, kind, mode):
    colours = Image.effect_noise((8, 6), 80).convert("RGB")
    image = colours.convert("P").convert("PA") if mode == "PA" else colours
    if mode == "LAB":
        image = Image.frombytes("LAB", (8, 6), colours.tobytes())
    elif mode.startswith("I;16"):
        image = Image.frombytes(mode, (8, 6), bytes(range(96)))
    elif mode != "PA":
        image = colours.convert("L").convert(mode) if mode in "LAIF" else colours.convert(mode)
    image.save(tmp_path / "odd", kind)

    assert opened(tmp_path / "odd").mode == "RGB"
    assert opened(tmp_path / "odd").size == (8, 6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_turns_the_image_and_broken_exif_does_not_matter(tmp_path):
    image = Image.new("RGB", (8, 4), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert opened(tmp_path / "turned.jpg").size == (4, 8)

    for number, junk in enumerate(
        [b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
    ):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(encoded(image, "JPEG", exif=junk))
        assert opened(file).mode == "RGB"


def test_transparency_lies_over_white_and_animations_give_their_first_frame(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert opened(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)

    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert opened(tmp_path / "palette.png").getpixel((0, 0)) == (255, 255, 255)

    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert opened(tmp_path / "two.gif").getpixel((0, 0)) == (255, 0, 0)


def test_what_is_no_file_at_all(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    (tmp_path / "empty.png").touch()
    for name in ("folder.png", "dangling.png", "empty.png", "a\0b.png", "n" * 300 + ".png"):
        with pytest.raises(ImageError):
            opened(tmp_path / name)


def test_programs_inside_an_image_file_are_not_run(tmp_path, monkeypatch):
    """Ghostscript is how an EPS image becomes a program."""
    sentinel = tmp_path / "sentinel"
    eps = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n({sentinel}) (w) file closefile\nshowpage\n"
    (tmp_path / "innocent.png").write_text(eps)

    with Image.open(tmp_path / "innocent.png") as eps_image:
        assert eps_image.format == "EPS", "Pillow alone would hand it to Ghostscript"
    started = []
    monkeypatch.setattr(
        "PIL.EpsImagePlugin.Ghostscript", lambda *args, **_: started.append(args) or Image.new("L", (1, 1)).im
    )
    with pytest.raises(ImageError, match="not a readable image"):
        opened(tmp_path / "innocent.png")
    assert not started
    with suppress(Exception):  # negative control: without the list of readers it is started
        Image.open(tmp_path / "innocent.png").load()
    assert started

    assert not sentinel.exists()


@pytest.mark.parametrize("kind", ["DDS", "TGA", "ICNS", "PCX"])
def test_formats_that_photos_do_not_come_in_are_refused_in_one_line(tmp_path, kind):
    (tmp_path / "odd.png").write_bytes(sound(kind))
    with Image.open(tmp_path / "odd.png") as image:
        assert image.format == kind
    with pytest.raises(ImageError, match="not a readable image"):
        opened(tmp_path / "odd.png")


def test_a_compressed_texture_that_pillow_does_not_know_is_refused(tmp_path):
    """Pillow raises NotImplementedError on it."""
    header = struct.pack("<7I", 124, 0x1007, 8, 8, 0, 0, 0) + b"\0" * 44
    pixel_format = struct.pack("<2I4s5I", 32, 4, b"NOPE", 0, 0, 0, 0, 0)
    (tmp_path / "texture.png").write_bytes(b"DDS " + header + pixel_format + b"\0" * 64)
    with pytest.raises(NotImplementedError):
        Image.open(tmp_path / "texture.png")
    with pytest.raises(ImageError, match="not a readable image"):
        opened(tmp_path / "texture.png")


def test_a_camera_s_image_of_several_views_gives_the_first(tmp_path):
    views = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    views[0].save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=views[1:])
    with Image.open(tmp_path / "two.jpg") as image:
        assert image.format == "MPO"
    red, _, blue = opened(tmp_path / "two.jpg").getpixel((0, 0))
    assert red > 200
    assert blue < 50
