"""A local live server: ``python eval/bench/live_server.py --port 8000``, then watch http://127.0.0.1:8000/ts or /mjpeg.

Its image changes every few seconds by the wall-clock, for every viewer alike and whenever it was started: what
was to be seen at a moment is known afterwards. It prints its port and serves until it is killed.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
from PIL import Image

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
SIZE = (160, 120)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each image")
    parser.add_argument("--images", type=Path, help="folder of JPEG files; red, green and blue without it")
    given = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Viewer)
    server.daemon_threads = True
    Viewer.fps, Viewer.seconds = given.fps, given.seconds
    Viewer.images = load(given.images)
    print(server.server_port, flush=True)
    server.serve_forever()


def load(folder: Path | None) -> list[Image.Image]:
    """The images, all of one size."""
    if folder is None:
        return [Image.new("RGB", SIZE, colour) for colour in COLOURS]
    return [Image.open(path).convert("RGB").resize((320, 240)) for path in sorted(folder.glob("*.jpg"))]


def scene_at(when: float, *, seconds: float, count: int) -> int:
    """Number of the image that is shown at a time since the epoch."""
    return int(when / seconds) % count


class Viewer(BaseHTTPRequestHandler):
    """One connection."""

    fps: int
    seconds: float
    images: Sequence[Image.Image]

    def do_GET(self) -> None:
        """Stream until the viewer goes."""
        kinds = {
            "/ts": ("video/mp2t", self._transport_stream),
            "/mjpeg": ("multipart/x-mixed-replace; boundary=frame", self._motion_jpeg),
        }
        if self.path not in kinds:
            self.send_error(404)
            return
        kind, serve = kinds[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        with suppress(OSError, av.error.FFmpegError):  # the viewer has gone
            serve()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _frames(self) -> Iterator[Image.Image]:
        begin = time.monotonic()
        number = 0
        while True:
            time.sleep(max(0.0, begin + number / self.fps - time.monotonic()))
            yield self.images[scene_at(time.time(), seconds=self.seconds, count=len(self.images))]
            number += 1

    def _motion_jpeg(self) -> None:
        for image in self._frames():
            file = io.BytesIO()
            image.save(file, "JPEG", quality=90)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {file.tell()}\r\n\r\n"
            self.wfile.write(head.encode() + file.getvalue() + b"\r\n")

    def _transport_stream(self) -> None:
        with av.open(_Sink(self.wfile), "w", format="mpegts", options={"flush_packets": "1"}) as container:
            stream = container.add_stream("libx264", rate=self.fps)
            stream.width, stream.height = self.images[0].size
            stream.pix_fmt = "yuv420p"
            stream.gop_size = self.fps
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
            for image in self._frames():
                container.mux(stream.encode(av.VideoFrame.from_image(image)))


class _Sink:
    """What PyAV writes to: a socket's file cannot be sought in."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)


if __name__ == "__main__":
    main()
