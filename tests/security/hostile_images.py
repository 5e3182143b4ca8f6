"""Images made to hurt, written by code so that none of them lies in the repository."""

import io
import struct
import zlib

from PIL import Image


def png_header(width, height):
    """A valid PNG that claims any size and has next to no pixel data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def bmp_header(width, height):
    """A BMP that claims any size."""
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def gif_header(width, height):
    """A GIF that claims any size up to 65,535."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6 + b"\x2c" + b"\0" * 9 + b"\x02\0;"


def encoded(image, kind, **options):
    """Bytes of an image in a format."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def sound(kind):
    """A small sound image in a format, as bytes."""
    image = Image.effect_noise((48, 32), 80).convert("RGB")
    return encoded(image, kind)
