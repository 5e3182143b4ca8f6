import sys

import pytest

from vljepa.errors import VideoError
from vljepa.processing.live_places import live_place, shown

SECRET = "geheim"


@pytest.mark.parametrize("word", ["clip.mp4", "/data/clip.mp4", "frames", "./0", "C:\\clip.mp4", "concat:a.ts|b.ts"])
def test_a_path_is_no_live_source(word):
    assert live_place(word) is None


@pytest.mark.parametrize(
    "address",
    [
        f"rtsp://me:{SECRET}@door:554/stream?token={SECRET}#{SECRET}",
        f"http://me:{SECRET}@door/live.ts?password={SECRET}",
        f"rtmp://{SECRET}@door/app/key",
        f"https://me:{SECRET}@[::1]:8443/a",
    ],
)
def test_secrets_are_not_shown(address):
    place = live_place(address)

    assert SECRET not in place.name
    assert SECRET not in repr(place)
    assert SECRET not in shown(address)
    assert place.address == address
    assert "door" in place.name or "[::1]:8443" in place.name


def test_the_kind_of_an_address_may_be_in_capitals():
    assert live_place("HTTP://Door/Live.ts").address == "http://Door/Live.ts"


@pytest.mark.parametrize("sign", ["/", "?", "#"])
@pytest.mark.parametrize("password", ["pa{}geheim", "{}geheim", "ge@{}heim", "geheim{}"])
def test_a_password_with_a_sign_that_ends_a_host_is_not_shown(sign, password):
    """Whether or not such an address is taken: the error for one without a host says it too."""
    address = f"rtsp://me:{password.format(sign)}@door/stream"
    try:
        said = repr(live_place(address))
    except VideoError as error:
        said = str(error)

    for part in (SECRET, "heim", "me:"):
        assert part not in said
        assert part not in shown(address)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("http://door/a.ts#t=1", "http://door/a.ts"),
        ("http://door?token=1", "http://door"),
    ],
)
def test_what_is_no_secret_is_shown(address, name):
    assert shown(address) == name


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "concat://a|b",
        "crypto://http://door/",
        "data://text",
        "gopher://door/",
        "ftp://door/a.ts",
        "subfile,,start,0,end,9,,://door/a",
        "pipe://0",
        "http+tcp://door/",
    ],
)
def test_kinds_of_address_that_no_live_source_has_are_refused(address):
    with pytest.raises(VideoError, match="is no address of a live source"):
        live_place(address)


@pytest.mark.parametrize("address", ["http://", "http:///a.ts", "rtsp://door/a b", "http://door/\n", "http://[::1/a"])
def test_what_has_no_host_or_spaces_is_refused(address):
    with pytest.raises(VideoError, match="it has no host"):
        live_place(address)


@pytest.mark.parametrize("kind", ["http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp"])
def test_no_address_lets_ffmpeg_open_files_or_lists(kind):
    options = live_place(f"{kind}://door:9/x").options

    for barred in ("file", "concat", "subfile", "data", "pipe", "crypto", "fd", "cache"):
        assert barred not in options["protocol_whitelist"].split(",")
    for barred in ("hls", "dash", "concat", "image2", "lavfi", "tty"):
        assert barred not in options["format_whitelist"].split(",")


def test_standard_input_opens_nothing_else():
    place = live_place("-")

    assert place.stdin
    assert place.options["protocol_whitelist"] == ""
    assert "concat" not in place.options["format_whitelist"].split(",")


@pytest.mark.parametrize(
    ("system", "word", "device", "kind"),
    [
        ("linux", "0", "/dev/video0", "video4linux2"),
        ("linux", "/dev/video2", "/dev/video2", "video4linux2"),
        ("darwin", "1", "1", "avfoundation"),
    ],
)
def test_cameras(monkeypatch, system, word, device, kind):
    monkeypatch.setattr(sys, "platform", system)

    place = live_place(word)

    assert (place.address, place.format, place.name) == (device, kind, f"camera {word}")


def test_a_camera_where_there_is_no_way_to_one(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(VideoError, match="cameras of win32"):
        live_place("0")
