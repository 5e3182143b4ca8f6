"""Images of every mode become upright RGB, and the transform does what the config says."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from vljepa.errors import FileWarning, ImageError
from vljepa.processing.image import open_image, to_rgb

CAP = 1_000_000


def gradient(width: int = 40, height: int = 20) -> Image.Image:
    x = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.stack([np.tile(x, (height, 1))] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "1", "F", "I", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "LAB":
        image = Image.new("LAB", (8, 8), (128, 128, 128))
    elif mode in ("F", "I", "I;16"):
        image = Image.new(mode, (8, 8), 200)
    else:
        image = gradient().convert(mode)
    assert to_rgb(image).mode == "RGB"


def test_sixteen_bit_grey_keeps_its_range() -> None:
    image = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("brightness", "ground"), [(0, 255), (120, 255), (185, 255), (200, 0), (225, 0), (255, 0)])
def test_what_would_vanish_on_white_is_laid_on_black(brightness: int, ground: int) -> None:
    """From three quarters of white on; what cannot be seen has no say."""
    image = Image.new("RGBA", (40, 40), (255 - brightness, 255 - brightness, 255 - brightness, 0))
    image.paste((brightness, brightness, brightness, 255), (10, 10, 30, 30))
    laid = np.asarray(to_rgb(image))
    assert laid[0, 0].tolist() == [ground] * 3
    assert laid[20, 20].tolist() == [brightness] * 3


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert to_rgb(palette).getpixel((0, 0)) == (255, 255, 255)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    gradient().save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg", max_pixels=CAP).size == (20, 40)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "two.gif", max_pixels=CAP).getpixel((0, 0)) == (255, 0, 0)


def test_a_missing_broken_or_truncated_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no image .*gone\.png"):
        open_image(tmp_path / "gone.png", max_pixels=CAP)
    (tmp_path / "words.png").write_text("not an image")
    with pytest.raises(ImageError, match=r"words\.png.*not a readable image"):
        open_image(tmp_path / "words.png", max_pixels=CAP)
    gradient(200, 200).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.jpg"):
        open_image(tmp_path / "half.jpg", max_pixels=CAP)


def test_the_cap_is_read_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(100, 50).save(tmp_path / "big.png")
    assert open_image(tmp_path / "big.png", max_pixels=5000).size == (100, 50)

    def decoded(*_args: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(ImageError, match=r"100 x 50 pixels, the cap is 4,999"):
        open_image(tmp_path / "big.png", max_pixels=4999)


def saved(image: Image.Image, path: Path, kind: str, **options: object) -> Path:
    image.save(path, kind, **options)
    return path


def opened(path: Path) -> np.ndarray:
    return np.asarray(open_image(path, max_pixels=CAP))


def test_a_tiff_of_12_bits_has_its_brightness(tmp_path: Path) -> None:
    """Two pixels in three bytes; Pillow writes none."""
    values = [0, 1024, 2048, 4095]
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in zip(values[::2], values[1::2], strict=True)
    )
    (tmp_path / "12.tif").write_bytes(tiff(packed, width=4, bits=12))
    assert opened(tmp_path / "12.tif")[0, :, 0].tolist() == [0, 64, 128, 255]
    (tmp_path / "darker.tif").write_bytes(tiff(packed[:3] + b"\x3e\x87\xd0", width=4, bits=12))  # 1000 and 2000
    assert opened(tmp_path / "darker.tif")[0, :, 0].tolist() == [0, 64, 62, 125]


def test_where_white_is_zero_white_is_white(tmp_path: Path) -> None:
    (tmp_path / "white.tif").write_bytes(tiff(struct.pack("<3H", 0, 32768, 65535), width=3, bits=16, photometric=0))
    assert opened(tmp_path / "white.tif")[0, :, 0].tolist() == [255, 127, 0]


def tiff(pixels: bytes, *, width: int, bits: int, photometric: int = 1) -> bytes:
    """One row of grey, uncompressed."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 122, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(122, b"\0") + pixels


@pytest.mark.parametrize(
    ("mode", "values", "middle"),
    [
        ("F", [0.0, 0.5, 1.0], 128),
        ("I", [0, 128, 255], 128),
        ("I", [0, 32768, 65535], 128),
        ("I;16", [0, 2048, 4095], 128),
    ],
)
def test_deep_grey_in_a_file_keeps_its_brightness(tmp_path: Path, mode: str, values: list[float], middle: int) -> None:
    dtype = {"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]
    file = saved(Image.fromarray(np.array([values], dtype=dtype)), tmp_path / "deep", "TIFF")
    assert opened(file)[0, :, 0].tolist() == pytest.approx([0, middle, 255], abs=1)


def test_what_was_stretched_or_is_flat_is_said_with_the_file_s_name(tmp_path: Path) -> None:
    thermal = np.linspace(29_000, 31_000, 100, dtype=np.uint16).reshape(10, 10)
    file = saved(Image.fromarray(thermal), tmp_path / "thermal.png", "PNG")
    with pytest.warns(FileWarning, match=r"thermal\.png' has values from 29\S+ to 30\S+, which were stretched"):
        seen = opened(file)
    assert (seen.min(), seen.max()) == (0, 255)
    assert seen.std() > 60


def test_colours_of_16_bits_that_become_one_are_said(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", *[value] * 6) for value in (10, 200))  # PNG's own order
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    (tmp_path / "dark.png").write_bytes(png)
    with pytest.warns(FileWarning, match=r"dark\.png' is nearly one colour: its 16-bit values span 0 of 255 levels"):
        opened(tmp_path / "dark.png")


@pytest.mark.parametrize(
    ("ink", "ground"), [((0, 0, 0), 255), ((90, 90, 90), 255), ((255, 255, 255), 0), ((255, 255, 120), 0)]
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_what_is_on_transparency_stands_out_from_what_it_is_laid_on(
    tmp_path: Path, kind: str, ink: tuple[int, int, int], ground: int
) -> None:
    logo = Image.new("RGBA", (32, 32), (*ink, 0))
    logo.paste((*ink, 255), (8, 8, 24, 24))
    lossless = {"lossless": True, "exact": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    seen = opened(saved(logo, tmp_path / "logo", kind, **lossless)).astype(int)
    assert abs(int(seen[1, 1, 0]) - ground) <= 3
    assert abs(seen[16, 16] - np.array(ink)).max() <= 4
    assert abs(seen[16, 16].mean() - seen[1, 1].mean()) > 40


def test_transparency_of_palettes_and_of_16_bits_is_seen(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 255, 255, 255])
    palette.putpixel((1, 0), 1)
    file = saved(palette, tmp_path / "palette.png", "PNG", transparency=0)
    assert opened(file)[0].tolist() == [[0, 0, 0], [255, 255, 255]]

    deep = Image.fromarray(np.array([[0, 30_000, 65_535]], dtype=np.uint16))
    file = saved(deep, tmp_path / "deep.png", "PNG", transparency=0)
    assert opened(file)[0, :, 0].tolist() == [255, 117, 255]


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0)), (2, (0, -1))]
)
def test_the_dark_corner_is_where_the_camera_saw_it(
    tmp_path: Path, kind: str, orientation: int, corner: tuple[int, int]
) -> None:
    image = Image.new("RGB", (64, 32), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = opened(saved(image, tmp_path / "turned", kind, exif=exif))
    assert seen.shape == ((64, 32, 3) if orientation in (6, 8) else (32, 64, 3))
    assert seen[corner].mean() < 40
    assert seen.mean() > 200


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0)), (2, (0, -1))]
)
def test_heic_is_upright(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    """Its turn is a property of the image, as phones write it."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = Image.new("RGB", (64, 32), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(image, tmp_path / "photo.jpg", "HEIF", quality=100, exif=exif.tobytes())

    seen = opened(file)

    assert seen.shape == ((64, 32, 3) if orientation in (6, 8) else (32, 64, 3))
    assert seen[corner].mean() < 40
    assert seen.mean() > 200
    with pytest.raises(ImageError, match="the cap is 100"):
        open_image(file, max_pixels=100)


def test_heic_without_its_reader_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    with pytest.raises(ImageError, match=r"photo\.HEIC' is in HEIC.*pip install \"vljepa-torch\[heic\]\""):
        opened(tmp_path / "photo.HEIC")


def test_a_damaged_tiff_is_refused_and_not_black(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff prints on stderr by itself; Pillow's second look at such a file raises nothing and is black."""
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    content = bytearray(saved(noise, tmp_path / "a.tif", "TIFF", compression="tiff_lzw").read_bytes())
    content[200:400] = b"\xff" * 200
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match="not a readable image"):
        opened(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match=r"has no pixels \(0 x 4\)"):
        to_rgb(Image.new("RGB", (0, 4)))


class OddError(Exception):
    """Of a reader that nobody knows."""


def test_whatever_a_reader_raises_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(gradient(), tmp_path / "a.png", "PNG")

    def odd(*args: object, **options: object) -> None:
        raise OddError("an enumeration without 31")

    monkeypatch.setattr(Image, "open", odd)
    with pytest.raises(ImageError, match=r"a\.png' cannot be read \(OddError: an enumeration without 31\)"):
        opened(file)


def test_a_camera_s_raw_file_is_refused_and_not_taken_for_its_preview(tmp_path: Path) -> None:
    saved(gradient(), tmp_path / "photo.NEF", "TIFF")
    with pytest.raises(ImageError, match=r"photo\.NEF' is a camera's raw file.*convert it to JPEG"):
        opened(tmp_path / "photo.NEF")


def test_what_is_in_no_format_says_so_without_a_reader_s_words(tmp_path: Path) -> None:
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.7 and so on")
    with pytest.raises(ImageError, match=r"is not a readable image \(its content is in no format") as caught:
        opened(tmp_path / "page.pdf")
    assert "_io." not in str(caught.value)


def deep_png(values: np.ndarray, *, colour: int) -> bytes:
    """A PNG of 16 bits: colour 2 is RGB, 4 grey with alpha; `values` H x W x channels."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2)])
def test_colours_of_12_bits_in_16_are_as_bright_as_their_grey(tmp_path: Path, colour: int, channels: int) -> None:
    """Pillow keeps the upper 8 of 16 bits, of which such files use 4: they were near black without a word."""
    ramp = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8, 1).repeat(channels, axis=2)
    if colour == 4:
        ramp[..., -1] = 65535
    (tmp_path / "deep.png").write_bytes(deep_png(ramp, colour=colour))
    with pytest.warns(FileWarning, match=r"deep\.png' uses 12 of its 16 bits, which were spread over all"):
        seen = opened(tmp_path / "deep.png")
    assert seen.mean() == pytest.approx(127.5, abs=9)
    assert (seen.min(), seen.max()) == (0, 255)
    full = ramp * np.uint16(16)
    (tmp_path / "full.png").write_bytes(deep_png(np.maximum(full, ramp), colour=2) if colour == 2 else b"")
    if colour == 2:
        assert opened(tmp_path / "full.png").mean() == pytest.approx(127.5, abs=9)


@pytest.mark.parametrize(("nodata", "declared"), [(-9999.0, True), (-3.4028234663852886e38, True), (-3.4e38, False)])
def test_where_nothing_was_measured_does_not_set_the_scale(tmp_path: Path, nodata: float, declared: bool) -> None:
    """Heights of 0 to 1 beside a hole: with the hole as a number all else would be one white."""
    values = np.array([[0.0, 0.5, 1.0, nodata]], dtype=np.float32)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if declared:
        tags[42113] = f"{nodata!r}\0"
    Image.fromarray(values).save(tmp_path / "heights.tif", tiffinfo=tags)
    assert opened(tmp_path / "heights.tif")[0, :, 0].tolist() == pytest.approx([0, 128, 255, 0], abs=1)
    holes = Image.fromarray(np.full((2, 2), nodata, dtype=np.float32))
    holes.save(tmp_path / "holes.tif", tiffinfo=tags)
    with pytest.raises(ImageError, match="has no number in it, only NaN, infinity or no data"):
        opened(tmp_path / "holes.tif")


def test_no_data_of_whole_numbers(tmp_path: Path) -> None:
    """A number that the file cannot hold declares nothing."""
    for declared, hole in (("65535", 0), ("-9999", 255)):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[42113] = declared
        values = np.array([[0, 2048, 4095, 65535]], dtype=np.uint16)
        Image.fromarray(values).save(tmp_path / f"{hole}.tif", tiffinfo=tags)
        assert opened(tmp_path / f"{hole}.tif")[0, 3, 0] == hole


def test_an_upright_rgb_image_is_copied_and_the_given_one_is_left_alone() -> None:
    given = gradient()
    found = to_rgb(given)
    found.putpixel((0, 0), (9, 9, 9))
    assert given.getpixel((0, 0)) == (0, 0, 0)
    assert found.getpixel((39, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_image_that_is_not_turned_is_copied_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    copy, convert = Image.Image.copy, Image.Image.convert
    monkeypatch.setattr(Image.Image, "copy", lambda image: copies.append("copy") or copy(image))
    monkeypatch.setattr(
        Image.Image, "convert", lambda image, *how, **more: copies.append("convert") or convert(image, *how, **more)
    )
    to_rgb(gradient().crop((0, 0, 8, 8)) if mode == "RGB" else Image.new("L", (8, 8)))
    assert copies.count("convert") == 1
    assert copies.count("copy") == (1 if mode == "RGB" else 0), "convert copies what is RGB"
