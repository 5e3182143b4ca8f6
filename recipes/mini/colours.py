"""Colours of emoji: named in the name ("blue heart"), or measured on an image that is mostly of one colour."""

from __future__ import annotations

import colorsys
from collections import Counter
from pathlib import Path

from PIL import Image

from recipes.mini.word_lists import read_words

COLOURS: tuple[str, ...] = tuple(read_words("colours")["colours"])
NOT_A_COLOUR = frozenset(read_words("colours")["not_a_colour"])
MEASURED_SHARE = 0.7
MIN_OPAQUE = 0.15


def named_colour(name: str) -> tuple[str, str] | None:
    """Return (colour, noun) of a name with one colour word, such as ("blue", "heart") for "light blue heart".

    >>> named_colour("large orange diamond"), named_colour("grinning face")
    (('orange', 'diamond'), None)
    """
    words = name.split()
    found = [word for word in words if word in COLOURS]
    if len(found) != 1 or name in NOT_A_COLOUR or words[-1] in COLOURS or "hair" in words:
        return None
    # "black large square" and "small blue diamond" differ in size, "hollow red circle" and "light blue heart" in look.
    rest = [word for word in words if word not in {*COLOURS, "large", "medium", "small", "medium-small", "light"}]
    return found[0], " ".join(rest)


def colour_of_pixel(red: int, green: int, blue: int) -> str:
    """Return the colour word of one pixel, "" where people would not agree."""
    hue, lightness, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    degrees = hue * 360
    if lightness > 0.93:
        return "white"
    if lightness < 0.13:
        return "black"
    if saturation < 0.12:
        return "grey" if 0.3 < lightness < 0.8 else ""
    if 12 <= degrees < 42 and lightness < 0.42 and saturation > 0.2:
        return "brown"
    # Dull colours are where two people name one thing differently: tan, slate, rust.
    if saturation < 0.4 or (20 <= degrees < 37 and saturation < 0.6):
        return ""
    bands = (
        (10, "red"), (20, ""), (37, "orange"), (43, ""), (58, "yellow"), (75, ""), (160, "green"), (190, ""),
        (235, "blue"), (262, ""), (290, "purple"), (310, ""), (338, "pink"), (350, ""), (361, "red"),
    )  # fmt: skip
    word = next(name for limit, name in bands if degrees < limit)
    return "pink" if word == "red" and lightness > 0.72 else word


def measured_colour(path: Path) -> str:
    """Return the colour of at least ``MEASURED_SHARE`` of the drawn part of an image, else "".

    Looks at the drawing with its transparency: the part that is not drawn has no colour.
    """
    with Image.open(path) as image:
        small = image.convert("RGBA")
        small.thumbnail((48, 48))
    pixels = list(small.get_flattened_data())
    drawn = [pixel for pixel in pixels if isinstance(pixel, tuple) and pixel[3] > 200]
    if len(drawn) < MIN_OPAQUE * len(pixels):
        return ""
    votes = Counter(colour_of_pixel(*pixel[:3]) for pixel in drawn)
    word, count = votes.most_common(1)[0]
    return word if count >= MEASURED_SHARE * len(drawn) else ""
