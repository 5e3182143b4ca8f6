"""Deep grey keeps what can be seen: the brightness of known values, by hand."""

import numpy as np
import pytest

from vljepa.processing.grey import to_8_bits

HALF = (127, 128)


def levels(values, dtype, **options):
    scaled, said = to_8_bits(np.array([values], dtype=dtype), **options)
    return scaled[0].tolist(), said


@pytest.mark.parametrize(
    ("values", "dtype", "bits", "middle"),
    [
        ([0, 32768, 65535], np.uint16, 16, 128),
        ([0, 128, 255], np.uint16, 16, 128),  # 8-bit values in 16 bits
        ([0, 2048, 4095], np.uint16, 12, 128),
        ([0, 2048, 4095], np.uint16, 16, 128),  # 12-bit values in 16 bits
        ([0, 0.5, 1], np.float32, None, 128),
        ([0, 128, 255], np.float32, None, 128),
        ([0, 32768, 65535], np.float64, None, 128),
        ([0, 32768, 65535], np.int32, 32, 128),
        ([0, 2**30, 2**31 - 1], np.int32, 32, 128),
    ],
)
def test_black_stays_black_white_white_and_the_middle_the_middle(values, dtype, bits, middle):
    found, said = levels(values, dtype, bits=bits)
    assert found[0] == 0
    assert found[1] == pytest.approx(middle, abs=1)
    assert found[2] == 255
    assert said == ""


def test_a_darker_scene_of_16_bits_stays_darker():
    assert levels([0, 20_000, 40_000], np.uint16, bits=16)[0] == [0, 78, 156]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([29_000, 30_000, 31_000], np.uint16),  # hundredths of a kelvin
        ([29_000, 30_000, 31_000], np.float32),
        ([-20, 0, 20], np.int32),
        ([-1.5, 0.0, 1.5], np.float32),
        ([0.0, 1.25, 2.5], np.float32),  # metres
        ([0, 15, 30], np.uint16),
    ],
)
def test_values_that_would_be_flat_are_stretched_and_said(values, dtype):
    found, said = levels(values, dtype, bits=16)
    assert found[0] == 0
    assert found[1] in HALF
    assert found[2] == 255
    assert f"from {values[0]:.2g}"[:7] in said or "stretched" in said


def test_a_hazy_image_is_left_as_it_is():
    """A sixth of the scale is little contrast, and still one: a seventh of black is no night."""
    found, said = levels([30_000, 35_500, 41_000], np.uint16, bits=16)
    assert said == ""
    assert found == [117, 138, 160]


def test_one_dead_pixel_does_not_make_the_rest_flat():
    thermal = np.linspace(29_000, 31_000, 10_000).astype(np.uint16)
    thermal[0] = 65_535
    scaled, said = to_8_bits(thermal, bits=16)
    assert scaled[5_000] == pytest.approx(128, abs=2)
    assert scaled.std() > 60
    assert "stretched" in said


def test_numbers_that_are_none_are_black_and_do_not_count():
    found, _ = levels([np.nan, 0, 1, np.inf], np.float32)
    assert found[1:3] == [0, 255]


def test_one_value_is_said():
    assert levels([200, 200], np.uint16, bits=16) == ([200, 200], "is one flat grey (all values are 200)")
