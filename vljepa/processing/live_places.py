"""Which words name a live source, what FFmpeg may do for it, and how it is shown without its password."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vljepa.addresses import without_secrets
from vljepa.errors import VideoError

STDIN = "-"

# What each kind of address needs and no more: no `file`, no playlists, whose lines would open other places.
_PROTOCOLS = {
    "http": "http,https,tcp,tls,httpproxy",
    "https": "http,https,tcp,tls,httpproxy",
    "rtsp": "rtp,rtcp,udp,tcp",
    "rtsps": "rtp,rtcp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "udp": "udp",
    "tcp": "tcp",
}
_FORMATS = "mpegts,flv,live_flv,matroska,mov,ogg,mpjpeg,mjpeg"
_RTSP_FORMATS = "rtsp,rtp,sdp,mpegts"
_STDIN_FORMATS = f"{_FORMATS},jpeg_pipe,png_pipe,yuv4mpegpipe,nut,avi,mpeg,rawvideo"
_CAMERAS = {"linux": "video4linux2", "darwin": "avfoundation"}


@dataclass(frozen=True)
class LivePlace:
    """Where a live source is.

    Args:
        name: How it is shown; without user, password and query, which may hold a secret.
        address: What FFmpeg opens; empty for standard input.
        format: Its input format, where it is not found out from the data.
        options: What FFmpeg may use and how.
    """

    name: str
    address: str = field(repr=False)
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def stdin(self) -> bool:
        """Whether it is standard input, which can be read once."""
        return not self.address


def live_place(source: str) -> LivePlace | None:
    """What a word names: a camera, an address, standard input; None when it is a path.

    Args:
        source: `-`; a number or `/dev/video*` for a camera; an address with `://`.

    Raises:
        VideoError: An address of an unknown kind or without a host, or a camera on a system without a way to one.
    """
    if source == STDIN:
        return LivePlace("standard input", "", options={"format_whitelist": _STDIN_FORMATS, "protocol_whitelist": ""})
    if source.isdecimal() or source.startswith("/dev/video"):
        return _camera(source)
    if "://" in source:
        return _address(source)
    return None


def _camera(source: str) -> LivePlace:
    kind = _CAMERAS.get(sys.platform)
    if kind is None:
        raise VideoError(
            f"cameras of {sys.platform} are not known here.", fix="pipe FFmpeg's MJPEG into `vljepa stream -`."
        )
    device = f"/dev/video{source}" if sys.platform == "linux" and source.isdecimal() else source
    return LivePlace(f"camera {source}", device, format=kind)


def _address(source: str) -> LivePlace:
    kind = source.partition("://")[0].lower()
    source = kind + source[len(kind) :]
    name = shown(source)
    if kind not in _PROTOCOLS:
        raise VideoError(
            f"{name!r} is no address of a live source.",
            fix=f"use one of {', '.join(_PROTOCOLS)}, or name a local file.",
        )
    if any(char.isspace() or not char.isprintable() for char in source) or not _has_host(source):
        raise VideoError(f"{name!r} is no address: it has no host, or spaces.", fix="write KIND://HOST:PORT/PATH.")
    options = {
        "protocol_whitelist": _PROTOCOLS[kind],
        "format_whitelist": _RTSP_FORMATS if kind.startswith("rtsp") else _FORMATS,
        # Enough to know the codec; FFmpeg's own 5 s would make the first caption late.
        "analyzeduration": "1000000",
    }
    if kind.startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"
    return LivePlace(name, source, options=options)


def shown(source: str) -> str:
    """An address as it may be shown: without user, password and query."""
    if "://" not in source:
        return source
    return without_secrets(source, at_in_path=False)


def _has_host(source: str) -> bool:
    try:
        # udp://@239.0.0.1:1234 is how FFmpeg writes a group to join.
        return bool(urlsplit(source).hostname)
    except ValueError:
        return False
