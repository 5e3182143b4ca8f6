"""The least of an RTSP server: one MPEG-TS file as RTP within the control connection (RFC 2326, section 10.12)."""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 7 * 188
_SDP = "\r\n".join(
    (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=test",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 33",
        "a=control:track",
        "",
    )
)


@contextmanager
def rtsp_server(film: Path, *, seconds: float) -> Iterator[int]:
    """Serve a film of so many seconds, then close the connection; the port."""
    content = film.read_bytes()
    chunks = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)]

    class Viewer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while method := self.request_line():
                if method == "PLAY":
                    self.answer("Session: 1", "RTP-Info: url=track")
                    return self.play()
                if method == "DESCRIBE":
                    self.answer("Content-Type: application/sdp", body=_SDP)
                elif method == "SETUP":
                    self.answer("Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
                else:
                    self.answer("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            return None

        def request_line(self) -> str:
            method = self.rfile.readline().decode().partition(" ")[0]
            self.number = "0"
            while line := self.rfile.readline().decode().strip():
                name, _, value = line.partition(":")
                if name.lower() == "cseq":
                    self.number = value.strip()
            return method

        def answer(self, *headers: str, body: str = "") -> None:
            lines = ["RTSP/1.0 200 OK", f"CSeq: {self.number}", *headers, f"Content-Length: {len(body)}", "", body]
            self.wfile.write("\r\n".join(lines).encode())

        def play(self) -> None:
            begin = time.monotonic()
            for number, chunk in enumerate(chunks):
                when = seconds * number / len(chunks)
                time.sleep(max(0.0, begin + when - time.monotonic()))
                head = struct.pack(">BBHII", 0x80, 33, number % 65536, int(90_000 * when), 7)
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(head) + len(chunk)) + head + chunk)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Viewer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
