"""Data as strangers keep it, small: images of one colour each, and what a source makes of them."""

import csv
import io
import tarfile
import warnings
from pathlib import Path

from PIL import Image

from vljepa.configs import SourceConfig
from vljepa.data.images import open_still
from vljepa.data.sources import load_source
from vljepa.errors import FileWarning

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220)}


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


def write_png(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(colour))


def write_pngs(folder):
    """red.png, green.png and blue.png."""
    for colour in COLOURS:
        write_png(folder / f"{colour}.png", colour)


def write_table(path, rows, delimiter=",", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, **settings).writerows(rows)


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def colour_of(image):
    pixel = open_still(image, max_pixels=1_000).getpixel((3, 3))
    return next(
        colour for colour, value in COLOURS.items() if max(abs(a - b) for a, b in zip(pixel, value, strict=True)) < 9
    )


def read(path, **settings):
    """Colour, texts and query of each row, and what was skipped, as the warnings say it."""
    tolerated = settings.pop("max_skipped", 1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        records = load_source(SourceConfig(name="s", path=str(Path(path)), **settings), max_skipped=tolerated)
    said = [str(warning.message) for warning in caught if warning.category is FileWarning]
    return [(colour_of(record.image), record.texts, record.query) for record in records], " ".join(said)
