"""Kinds of live sources: recordings at an address, RTSP, bare sockets, playlists, cameras."""

import itertools
import socket
import threading
from contextlib import contextmanager, suppress

import av
import pytest

from tests.rtsp import rtsp_server
from tests.unit.processing.live_answers import GIF, SECRET, never, serving, source_of, things
from tests.videos import grey, seen, write_video
from vljepa.processing.video import Frame


def test_a_recording_at_an_address_keeps_its_times_and_is_not_tried_again(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", count=20, fps=10).read_bytes()

    def answer(handler, request):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(clip)))
        handler.end_headers()
        handler.wfile.write(clip)

    with serving(answer) as address:
        source = source_of(address, fps=10.0)
        assert (source.live, source.drops) == (True, True)
        found, error = things(source)

    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 10 for number in range(20)], abs=1e-3)
    assert (source.live, source.drops) == (False, False)


def test_an_image_or_a_host_that_is_not_there_is_told_from_a_broken_connection(monkeypatch):
    def answer(handler, request):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(GIF)

    with serving(answer) as address:
        _, error = things(source_of(address))
    assert "cannot be watched: it is in a format that is not followed" in error.message

    def unknown(target, **options):
        raise av.error.OSError(5, "Input/output error", target)

    monkeypatch.setattr(av, "open", unknown)
    _, error = things(source_of("http://nohost.invalid/x", retries=1))
    assert "cannot be reached: no connection can be made" in error.message


def test_rtsp(tmp_path):
    film = write_video(tmp_path / "film.ts", count=40, fps=20)

    with rtsp_server(film, seconds=2.0) as port:
        found, error = things(source_of(f"rtsp://me:{SECRET}@127.0.0.1:{port}/door", retries=0))

    # What came while the codec was searched for, a second, is of the past: only what came after it is told.
    assert 5 <= len(found) <= 25
    shown = [seen(one.image) for one in found]
    last = [[grey(number) for number in range(end - len(found), end)] for end in (39, 40)]
    assert any(shown == pytest.approx(greys, abs=4) for greys in last)
    assert f"'rtsp://127.0.0.1:{port}/door' is gone: it ended" in error.message


@contextmanager
def sending(kind, film):
    """The port where a film comes over and over again."""
    over = threading.Event()
    if kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        waiting = None
    else:
        waiting = socket.create_server(("127.0.0.1", 0))
        port = waiting.getsockname()[1]

    def send():
        if waiting is None:
            to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            to.connect(("127.0.0.1", port))
        else:
            to, _ = waiting.accept()
        with to:
            for at in itertools.cycle(range(0, len(film), 7 * 188)):
                with suppress(OSError):  # nobody listens yet, or any more
                    to.send(film[at : at + 7 * 188])
                if over.wait(0.002):
                    return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield port
    finally:
        over.set()
        thread.join()
        if waiting is not None:
            waiting.close()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_bare_sockets(tmp_path, kind):
    film = write_video(tmp_path / "film.ts", count=40, fps=20, gop=2).read_bytes()

    with sending(kind, film) as port:
        frames = source_of(f"{kind}://127.0.0.1:{port}").frames(never)
        found = list(itertools.islice(frames, 20))
        frames.close()

    assert [type(one) for one in found] == [Frame] * 20
    greys = {grey(number) for number in range(40)}
    assert all(min(abs(seen(one.image) - value) for value in greys) <= 4 for one in found)


def playlist(handler, link):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.apple.mpegurl")
    handler.end_headers()
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:0.5,", link, "#EXT-X-ENDLIST", "")
    handler.wfile.write("\n".join(lines).encode())


@pytest.mark.parametrize("trusting", [False, True])
def test_a_playlist_at_an_address_is_not_followed(tmp_path, monkeypatch, trusting):
    """And the control: with lists allowed, the other place is asked."""
    asked = []

    def answer(handler, request):
        asked.append(handler.path)
        playlist(handler, "/inner.ts")

    if trusting:
        monkeypatch.setattr("vljepa.processing.live_places._FORMATS", "hls,mpegts")
    with serving(answer) as address:
        _, error = things(source_of(address))

    assert error is not None
    assert ("/inner.ts" in asked) == trusting


def test_a_camera_is_opened_by_its_format_and_not_waited_for_when_there_is_none(monkeypatch):
    opened = []

    def gone(target, **options):
        opened.append((target, options["format"], options["timeout"]))
        raise av.error.FileNotFoundError(2, "No such file or directory", target)

    monkeypatch.setattr(av, "open", gone)
    monkeypatch.setattr("sys.platform", "linux")
    _, error = things(source_of("0", retries=2))

    assert opened == [("/dev/video0", "video4linux2", (5.0, 5.0))]
    assert "'camera 0' cannot be watched: it is not there" in error.message
