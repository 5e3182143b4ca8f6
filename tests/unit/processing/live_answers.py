"""Live sources of tests, and a small server in a thread that they watch."""

import base64
import io
import itertools
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.videos import plain
from vljepa.configs import LiveOptions
from vljepa.errors import VideoError
from vljepa.processing.grid import Grid
from vljepa.processing.live import LiveSource
from vljepa.processing.live_places import live_place

CAP = 1_000_000
SECRET = "geheim"
GIF = base64.b64decode("R0lGODlhAQABAPAAAAAAAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")


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
            with suppress(ConnectionError):  # the viewer has gone
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
        time.sleep(0.03)  # sooner it would be a burst
    time.sleep(hang)
