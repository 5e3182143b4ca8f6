"""Pictures of every mode become upright RGB, and the transform does what the config says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vljepa.configs import ImageConfig
from vljepa.errors import ImageError
from vljepa.processing.image import ImageTransform, open_image, to_rgb

CAP = 1_000_000


def gradient(width: int = 40, height: int = 20) -> Image.Image:
    x = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.stack([np.tile(x, (height, 1))] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "1", "F", "I", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "LAB":
        picture = Image.new("LAB", (8, 8), (128, 128, 128))
    elif mode in ("F", "I", "I;16"):
        picture = Image.new(mode, (8, 8), 200)
    else:
        picture = gradient().convert(mode)
    assert to_rgb(picture).mode == "RGB"


def test_sixteen_bit_grey_keeps_its_range() -> None:
    picture = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(to_rgb(picture))[0, :, 0].tolist() == [0, 128, 255]


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
    with pytest.raises(ImageError, match=r"no picture .*gone\.png"):
        open_image(tmp_path / "gone.png", max_pixels=CAP)
    (tmp_path / "words.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"words\.png.*not a readable picture"):
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


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_every_resize_rule_gives_the_size(resize: str) -> None:
    transform = ImageTransform(ImageConfig(size=(24, 32), resize=resize))
    for size in ((40, 20), (20, 40), (7, 300), (1, 1)):
        assert transform(gradient(*size)).shape == (3, 24, 32)


def test_resize_rules_differ_as_they_say() -> None:
    wide = gradient(80, 20)
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "size": (20, 20)}
    rows = {rule: ImageTransform(ImageConfig(resize=rule, **plain))(wide)[0] for rule in ("crop", "squash", "pad")}
    assert rows["squash"][10, 0] < 0.1
    assert rows["squash"][10, -1] > 0.9, "the whole width is there"
    assert 0.3 < rows["crop"][10, 0] < rows["crop"][10, -1] < 0.7, "the middle only"
    assert rows["pad"][0].max() == 0, "a border in the mean colour"
    closer = ImageTransform(ImageConfig(resize="crop", crop_fraction=0.5, **plain))(wide)[0]
    assert closer[10, 0] > rows["crop"][10, 0], "a smaller cut is nearer to the centre"


def test_pixels_are_normalised() -> None:
    white = ImageTransform(ImageConfig(size=(4, 4), mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1)))(
        Image.new("RGB", (9, 9), "white")
    )
    torch.testing.assert_close(white[:, 0, 0], torch.tensor([1.0, 3.0, 7.0]))


def test_a_view_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    transform = ImageTransform(ImageConfig(size=(16, 16)))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = transform.view(gradient(), seed=7, min_scale=0.3, flip=True)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one, transform.view(gradient(), seed=7, min_scale=0.3, flip=True))
    others = [transform.view(gradient(), seed=seed, min_scale=0.3, flip=True) for seed in range(8, 14)]
    assert all(not torch.equal(one, other) for other in others)
