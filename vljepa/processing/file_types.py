"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

FileType = Literal["image", "heic", "video"]

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
     ".ppm", ".tif", ".tiff", ".webp"}
)  # fmt: skip
_MPEG = {".m2ts", ".mp4", ".mpeg", ".mpg", ".mts", ".ts"}
VIDEO_SUFFIXES = frozenset({".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".ogv", ".webm", ".wmv"} | _MPEG)
_RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"})
"""A camera's raw files: TIFF or MP4 by their first bytes, and without the photo in a form that anyone reads."""

HEAD_BYTES = 1024

_JPEG_2000 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_IMAGES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    _JPEG_2000,
    b"\xff\x4f\xff\x51",
)
_VIDEOS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\x01\xba", b"\0\0\x01\xb3")
_BITMAP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_SYNC = 0x47
"""First byte of each packet of MPEG-TS, whose ending `.ts` is that of TypeScript too."""


def file_type(path: Path) -> FileType | None:
    """What a file is: an image that may move, a HEIC image, a video, or nothing that is read here.

    Raises:
        OSError: The file cannot be read.
    """
    return type_by_content(path.name, read_head(path))


def read_head(path: str | os.PathLike[str]) -> bytes:
    """The first `HEAD_BYTES` bytes of a file.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        return file.read(HEAD_BYTES)


def type_by_content(name: str, head: bytes) -> FileType | None:
    """The same for a file whose head is read already.

    The first bytes decide. Only where they say nothing does the ending: then the file is damaged, or in a format
    without a signature, and its reader says so.

    Args:
        name: Of the file, without its folder.
        head: As of `read_head`.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _RAW_SUFFIXES or name.startswith("._"):  # the latter is what macOS keeps beside a file
        return None
    found = type_of_bytes(head)
    if found is not None:
        return found
    if suffix == ".ts" and head[:1] not in (b"", bytes([_SYNC])):
        return None
    return type_by_suffix(suffix) if head or suffix != ".ts" else None


def is_camera_raw(path: Path) -> bool:
    """Whether a file is, by its name, a camera's raw one: by its content it is TIFF or MP4, with a small preview."""
    return path.suffix.lower() in _RAW_SUFFIXES


def type_by_suffix(suffix: str) -> FileType | None:
    """What an ending, with its dot, promises."""
    suffix = suffix.lower()
    if suffix in (".heic", ".heif"):
        return "heic"
    if suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def type_of_bytes(head: bytes) -> FileType | None:
    """What a file is by its first `HEAD_BYTES` bytes; None where they are no signature known here."""
    if head.startswith(_IMAGES) or _is_bitmap(head) or _is_portable_map(head):
        return "image"
    if head.startswith(b"RIFF"):
        kinds: dict[bytes, FileType] = {b"WEBP": "image", b"AVI ": "video"}
        return kinds.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _type_of_brands(head)
    if head.startswith(b"OggS"):
        return None if head[28:].startswith(_OGG_SOUND) else "video"
    old_quicktime = head[:1] == b"\0" and head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
    if head.startswith(_VIDEOS) or old_quicktime or _is_transport_stream(head):
        return "video"
    return None


def _type_of_brands(head: bytes) -> FileType | None:
    """By the brands of an ISO base media file: MP4, MOV, AVIF and HEIC begin alike."""
    size = int.from_bytes(head[:4], "big")
    major, others = head[8:12], {head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4)}
    brands = {major} | others
    if major in _SOUND_BRANDS:
        return None
    if brands & {b"avif", b"avis"}:
        return "image"
    if brands & _HEIC_BRANDS or major in (b"mif1", b"msf1"):
        return "heic"
    return "video"


def _is_bitmap(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS


def _is_portable_map(head: bytes) -> bool:
    return head[:1] == b"P" and head[1:2] in b"123456" and len(head) > 2 and head[2:3].isspace()


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes, or of 192 with a time before each; five in a row are no chance."""
    if len(head) < HEAD_BYTES:
        return False
    return any(all(head[start + number * step] == _SYNC for number in range(5)) for start, step in ((0, 188), (4, 192)))
