"""Whatever a program hands over as an image is the same image, or is refused in a sentence."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vljepa.errors import FileWarning, ImageError
from vljepa.processing.given import as_rgb, describe, is_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
IMAGE = Image.fromarray(RGB)
GREY = RGB[:, :, 0]


def encoded(kind="PNG"):
    file = io.BytesIO()
    IMAGE.save(file, kind)
    return file


def opened(image):
    return np.asarray(as_rgb(image, max_pixels=1000))


GIVEN = {
    "PIL": IMAGE,
    "uint8": RGB,
    "not contiguous": np.ascontiguousarray(RGB[:, :, ::-1])[:, :, ::-1],
    "int64": RGB.astype(np.int64),
    "floats from 0 to 1": RGB / 255,
    "float16": (RGB / 255).astype(np.float32),
    "floats to 255": RGB.astype(np.float32),
    "channels first": RGB.transpose(2, 0, 1),
    "opaque": np.dstack([RGB, np.full((6, 9), 255, np.uint8)]),
    "16 bits": RGB.astype(np.uint16) * 257,
    "tensor": torch.from_numpy(RGB.transpose(2, 0, 1).copy()),
    "tensor of floats": (torch.from_numpy(RGB.transpose(2, 0, 1).copy()) / 255).requires_grad_(),
    "tensor, channels last": torch.from_numpy(RGB),
    "bytes": encoded().getvalue(),
    "bytearray": bytearray(encoded().getvalue()),
    "file at its end": encoded(),
    "file": io.BytesIO(encoded().getvalue()),
}


@pytest.mark.parametrize("image", GIVEN.values(), ids=GIVEN)
def test_the_same_image(image):
    assert is_image(image)
    assert opened(image).tolist() == RGB.tolist()


@pytest.mark.parametrize(
    "image",
    [GREY, GREY[:, :, None], GREY[None], GREY / 255, torch.from_numpy(GREY.copy()), torch.from_numpy(GREY / 255)[None]],
)
def test_the_same_grey(image):
    assert opened(image).tolist() == np.dstack([GREY] * 3).tolist()


def test_masks_are_black_and_white():
    assert opened(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]


def test_a_tensor_of_three_rows_has_its_channels_first_and_an_array_last():
    cube = np.zeros((3, 5, 3), dtype=np.uint8)
    cube[0] = 255
    assert opened(torch.from_numpy(cube)).shape == (5, 3, 3)
    assert opened(torch.from_numpy(cube))[0, 0].tolist() == [255, 0, 0]
    assert opened(cube).shape == (3, 5, 3)


def test_transparency_of_arrays_is_seen():
    white = np.dstack([np.full((4, 4, 3), 255, np.uint8), np.eye(4, dtype=np.uint8) * 255])
    assert opened(white)[:, :, 0].tolist() == (np.eye(4, dtype=int) * 255).tolist()


def test_a_file_on_disk_is_named_by_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(ImageError, match=r"a\.png' is not a readable image"):
        as_rgb(file, max_pixels=1000)


REFUSED = {
    "nothing": (None, "None is not an image but of type NoneType"),
    "a number": (3, "3 is not an image but of type int"),
    "a list": ([[1, 2]], "of type list"),
    "an empty array": (np.zeros((0, 5, 3), np.uint8), "has no pixels"),
    "an empty image": (Image.new("RGB", (0, 5)), r"has no pixels \(0 x 5\)"),
    "two channels": (np.zeros((8, 5, 2), np.uint8), "array 8 x 5 x 2> has not the shape of an image"),
    "one row of numbers": (np.zeros(5, np.uint8), "has not the shape of an image"),
    "a batch": (np.zeros((2, 4, 5, 3), np.uint8), "has not the shape of an image"),
    "normalised": (torch.randn(3, 8, 8), "as after normalisation"),
    "not a number": (np.full((4, 5, 3), np.nan), "no numbers"),
    "words": (np.array([["a", "b"]]), "values of type"),
    "complex": (np.zeros((4, 5), complex), "values of type complex128"),
    "no bytes": (b"", "is empty"),
    "bytes of a text": (b"hello", "not a readable image"),
    "bytes of a video": (b"\x1aE\xdf\xa3" + b"\0" * 100, "holds a video"),
    "a file of text": (io.StringIO("hello"), 'not open for bytes.*open it with "rb"'),
    "an address": ("https://example.org/a.png", "is an address"),
    "too large": (encoded().getvalue(), "cap is 10"),
}


@pytest.mark.parametrize(("image", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_in_a_sentence(image, said):
    with pytest.raises(ImageError, match=said) as caught:
        as_rgb(image, max_pixels=10)
    assert "Fix: " in str(caught.value)


def test_names():
    assert describe(RGB) == "<array 6 x 9 x 3>"
    assert describe(b"x") == "<bytes>"
    assert describe("a.png") == "a.png"
    assert describe(IMAGE) == "<image>"


def test_floats_that_ran_over_one_are_refused_and_not_black() -> None:
    """Read as 0 to 255 they were black, without a word."""
    values = np.linspace(0, 1.3, 48, dtype=np.float32).reshape(4, 4, 3)
    with pytest.raises(ImageError, match=r"floats up to 1\.3: neither 0 to 1 nor 0 to 255.*clip"):
        as_rgb(values, max_pixels=100)
    assert np.asarray(as_rgb(values.clip(0, 1), max_pixels=100)).max() == 255
    assert np.asarray(as_rgb(values / 1.3 * 255, max_pixels=100)).max() == 255


def test_what_was_stretched_in_an_array_is_said() -> None:
    thermal = np.linspace(29_000, 31_000, 100, dtype=np.uint16).reshape(10, 10)
    with pytest.warns(FileWarning, match=r"<array 10 x 10> has values from 29\S+ to 30\S+, which were stretched"):
        as_rgb(thermal, max_pixels=1000)
