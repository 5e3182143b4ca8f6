"""Live sources against a small server in a thread, and real pipes."""

import io
import itertools
import socket
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import pytest

from tests.live import standard_input
from tests.rtsp import rtsp_server
from tests.videos import grey, plain, seen, write_sound, write_video
from vljepa.configs import LiveOptions, validate
from vljepa.errors import ConfigError, VideoError
from vljepa.processing import live as module
from vljepa.processing.grid import Grid
from vljepa.processing.live import Gap, LiveSource
from vljepa.processing.live_places import live_place
from vljepa.processing.video import Frame

CAP = 1_000_000
SECRET = "geheim"


def never():
    return False


def source_of(address, *, cap=CAP, fps=1e6, **options):
    quick = {"timeout": 5.0, "first_wait": 0.01, "longest_wait": 0.02, "retries": 2, **options}
    return LiveSource(live_place(address), options=LiveOptions(**quick), grid=Grid(fps), max_pixels=cap)


def things(source, halted=never):
    found = []
    try:
        for thing in source.frames(halted):
            found.append(thing)
    except VideoError as error:
        return found, error
    return found, None


@contextmanager
def serving(answer):
    """A server whose every answer is a call of `answer(handler, number of the request)`."""
    requests = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, next(requests))

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://me:{SECRET}@127.0.0.1:{server.server_port}/live?token={SECRET}"
        finally:
            server.shutdown()
            thread.join()


def send_jpegs(handler, numbers, *, hang=0.0):
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    handler.end_headers()
    for number in numbers:
        file = io.BytesIO()
        plain(number, (32, 24)).save(file, "JPEG")
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {file.tell()}\r\n\r\n"
        handler.wfile.write(head.encode() + file.getvalue() + b"\r\n")
        time.sleep(0.005)
    time.sleep(hang)


def test_a_source_that_drops_is_tried_again_and_the_gap_is_told():
    def answer(handler, request):
        if request == 1:
            handler.send_error(503)
        else:
            send_jpegs(handler, range(4 * request, 4 * request + 4))

    with serving(answer) as address:
        frames = source_of(address, retries=3).frames(never)
        found = list(itertools.islice(frames, 11))
        frames.close()

    kinds = [type(thing) for thing in found]
    assert kinds == [Frame] * 4 + [Gap] * 3 + [Frame] * 4
    lost, vain, back = found[4:7]
    assert lost.end is None
    assert (lost.attempts, vain.attempts, back.attempts) == (0, 1, 2)
    assert lost.start == found[3].time
    assert back.end == found[7].time > lost.start
    pictures = [thing for thing in found if isinstance(thing, Frame)]
    assert [seen(one.image) for one in pictures] == pytest.approx([grey(n) for n in (0, 1, 2, 3, 8, 9, 10, 11)], abs=4)
    assert [one.index for one in pictures] == list(range(8))
    assert all(one.time < other.time for one, other in itertools.pairwise(pictures))


def test_it_is_given_up_after_so_many_attempts_in_a_row():
    def answer(handler, request):
        if request == 0:
            send_jpegs(handler, range(3))
        else:
            handler.send_error(503)

    with serving(answer) as address:
        found, error = things(source_of(address, retries=4))

    assert [type(thing) for thing in found] == [Frame] * 3 + [Gap] * 4
    assert "is gone" in error.message
    assert "4 attempts" in error.message
    assert SECRET not in "".join(traceback.format_exception(error))


def test_waits_grow_up_to_a_limit_and_are_not_alike(monkeypatch):
    waits = []
    monkeypatch.setattr(module, "_sleep", lambda seconds, halted: waits.append(seconds))
    source = source_of("http://127.0.0.1:9/x", first_wait=1.0, longest_wait=20.0, retries=40)

    _, error = things(source)

    assert "connection refused" in error.message
    assert len(waits) == 40
    for number, wait in enumerate(waits):
        longest = min(20.0, 2.0**number)
        assert longest / 2 <= wait <= longest
    assert len({round(wait, 3) for wait in waits[10:]}) > 10


@pytest.mark.parametrize(("code", "said"), [(401, "HTTP 401"), (403, "HTTP 403"), (404, "HTTP 404")])
def test_what_waiting_does_not_mend_is_said_at_once(code, said):
    with serving(lambda handler, request: handler.send_error(code)) as address:
        found, error = things(source_of(address))

    assert found == []
    assert said in error.message
    assert SECRET not in "".join(traceback.format_exception(error))


def test_once_it_has_worked_even_that_is_waited_for():
    def answer(handler, request):
        if request == 1:
            handler.send_error(404)
        else:
            send_jpegs(handler, range(4))

    with serving(answer) as address:
        frames = source_of(address).frames(never)
        found = list(itertools.islice(frames, 8))
        frames.close()

    assert [type(thing) for thing in found] == [Frame] * 4 + [Gap] * 3 + [Frame]


def test_one_that_comes_back_without_pictures_is_waited_for(tmp_path):
    sound = write_sound(tmp_path / "sound.ts").read_bytes()

    def answer(handler, request):
        if request == 1:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(sound)
        else:
            send_jpegs(handler, range(4))

    with serving(answer) as address:
        frames = source_of(address).frames(never)
        found = list(itertools.islice(frames, 8))
        frames.close()

    assert [type(thing) for thing in found] == [Frame] * 4 + [Gap] * 3 + [Frame]
    assert "only sound" in found[5].reason


def test_one_that_hangs_counts_as_lost():
    with serving(lambda handler, request: send_jpegs(handler, range(3), hang=2.0)) as address:
        frames = source_of(address, timeout=0.3).frames(never)
        begin = time.monotonic()
        found = list(itertools.islice(frames, 4))
        frames.close()

    assert found[3].reason == "nothing came for 0.3 s"
    assert time.monotonic() - begin < 2


def test_frames_above_the_cap_are_no_loss_but_an_error():
    with serving(lambda handler, request: send_jpegs(handler, range(3))) as address:
        found, error = things(source_of(address, cap=500))

    assert found == []
    assert "the cap is 500" in error.message
    assert SECRET not in str(error)


def test_only_frames_of_the_grid_become_pictures():
    with serving(lambda handler, request: send_jpegs(handler, range(40))) as address:
        found, _ = things(source_of(address, fps=10.0, retries=0))

    assert 2 <= len(found) <= 6  # of 40 in a quarter of a second


def test_a_recording_at_an_address_keeps_its_times_and_is_not_tried_again(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", count=20, fps=10).read_bytes()

    def answer(handler, request):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(clip)))
        handler.end_headers()
        handler.wfile.write(clip)

    with serving(answer) as address:
        source = source_of(address)
        assert (source.live, source.drops) == (True, True)
        found, error = things(source)

    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 10 for number in range(20)], abs=1e-3)
    assert (source.live, source.drops) == (False, False)


def test_rtsp(tmp_path):
    film = write_video(tmp_path / "film.ts", count=40, fps=20)

    with rtsp_server(film, seconds=1.0) as port:
        found, error = things(source_of(f"rtsp://me:{SECRET}@127.0.0.1:{port}/door", retries=0))

    assert len(found) >= 38
    assert [seen(one.image) for one in found[:20]] == pytest.approx([grey(number) for number in range(20)], abs=4)
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


def pictures(kind):
    def write(file):
        for number in range(12):
            if kind == "raw":
                file.write(plain(number, (32, 24)).tobytes())
            else:
                plain(number, (32, 24)).save(file, kind)

    return write


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("PNG", {}), ("raw", {"size": (32, 24)})])
def test_pictures_on_standard_input(kind, options):
    source = source_of("-", source_fps=8.0, **options)
    with standard_input(pictures(kind)):
        found, error = things(source)

    assert error is None
    assert [one.time for one in found] == [number / 8 for number in range(12)]
    assert [seen(one.image) for one in found] == pytest.approx([grey(number) for number in range(12)], abs=4)
    assert source.live
    assert not source.drops


def test_without_a_rate_pictures_have_the_time_of_their_arrival():
    with standard_input(pictures("JPEG")):
        found, _ = things(source_of("-", drop=True))

    assert found[0].time == 0
    assert found[-1].time < 5
    assert source_of("-", drop=True).drops


@pytest.mark.parametrize("ending", ["mkv", "ts", "nut"])
def test_a_container_on_standard_input_keeps_its_times(tmp_path, ending):
    content = write_video(tmp_path / f"clip.{ending}", count=20, fps=10, codec="mpeg4").read_bytes()
    with standard_input(lambda file: file.write(content)):
        found, error = things(source_of("-"))

    assert error is None
    assert [one.time for one in found] == pytest.approx([number / 10 for number in range(20)], abs=2e-3)


def test_standard_input_that_is_no_video_says_so():
    with standard_input(lambda file: file.write(b"hello" * 1000)):
        found, error = things(source_of("-"))

    assert found == []
    assert "'standard input' is not a readable video" in error.message


def test_silence_on_standard_input_ends_when_asked():
    hold, halted = threading.Event(), threading.Event()
    with standard_input(lambda file: hold.wait(30)):
        threading.Timer(0.2, halted.set).start()
        begin = time.monotonic()
        things(source_of("-"), halted.is_set)
        seconds = time.monotonic() - begin
        hold.set()

    assert seconds < 2


def test_waiting_for_a_source_ends_when_asked():
    halted = threading.Event()
    threading.Timer(0.2, halted.set).start()
    begin = time.monotonic()
    found, error = things(source_of("http://127.0.0.1:9/x", first_wait=60.0, longest_wait=60.0), halted.is_set)

    assert [type(thing) for thing in found] == [Gap]
    assert error is None
    assert time.monotonic() - begin < 2


def test_a_camera_is_opened_by_its_format_and_its_loss_is_waited_for(monkeypatch):
    opened = []

    def gone(target, **options):
        opened.append((target, options["format"], options["timeout"]))
        raise av.error.FileNotFoundError(2, "No such file or directory", target)

    monkeypatch.setattr(av, "open", gone)
    monkeypatch.setattr("sys.platform", "linux")
    _, error = things(source_of("0", retries=2))

    assert opened == [("/dev/video0", "video4linux2", (5.0, 5.0))] * 3
    assert "'camera 0' is gone: it is not there" in error.message


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"retries": -1}, {"longest_wait": 0}, {"min_fps": 0}, {"source_fps": 0}, {"patience": 1}]
)
def test_options_outside_of_their_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        validate(LiveOptions, wrong, where="stream")


def test_the_grid_takes_one_frame_per_slot_at_a_rate_that_may_change():
    grid = Grid(4.0)

    assert [number for number in range(21) if grid.takes(number / 20)] == [0, 5, 10, 15, 20]
    grid.fps = 2.0
    assert [number for number in range(21, 61) if grid.takes(number / 20)] == [25, 35, 45, 55]
    assert grid.takes(100.0)
    assert not grid.takes(100.2)
