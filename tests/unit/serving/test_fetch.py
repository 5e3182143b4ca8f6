"""Images by address: which addresses are fetched from, and how much of what they give."""

import ipaddress
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vljepa.serving import fetch
from vljepa.serving.errors import RequestError, TooLargeError
from vljepa.serving.fetch import fetch_image, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:192.168.1.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "::127.0.0.1", "64:ff9b:1::a9fe:a9fe", "::ffff:0:127.0.0.1",
        "2002:c0a8:101::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_no_address_of_this_machine_or_its_networks_is_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"])
def test_others_are(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.jpg", "http://localhost/a.jpg", "http://[::1]/a.jpg", "http://0/a.jpg", "http://127.1/a.jpg",
        "http://2130706433/a.jpg", "http://0x7f.0.0.1/a.jpg", "http://[::ffff:127.0.0.1]/", "http://user@127.0.0.1:80/",
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25lo]/", "http://10.0.0.1/", "http://0.0.0.0:8000/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_written(url, monkeypatch):
    def none(*given):
        raise AssertionError("it connects")

    monkeypatch.setattr(socket, "create_connection", none)
    with pytest.raises(RequestError, match=r"not of the public internet|host is not known"):
        fetch_image(url)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://8.8.8.8/a", "gopher://8.8.8.8/", "http:///a.jpg", "http://a:b/", "//a/b", "http://"],
)
def test_other_schemes_and_no_addresses_are_refused(url):
    with pytest.raises(RequestError, match=r"http or https|no address"):
        fetch_image(url)


def names(monkeypatch, **hosts):
    """Hosts of the web, as they resolve; one list of addresses each."""

    plain = socket.getaddrinfo

    def getaddrinfo(host, port, *given, **options):
        if host == "127.0.0.1":  # of the test's own server
            return plain(host, port, *given, **options)
        if host not in hosts:
            raise OSError(f"no {host}")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_is_checked_by_what_it_resolves_to(monkeypatch):
    names(monkeypatch, inside=["192.168.1.1"], half=["8.8.8.8", "10.0.0.1"])
    for host in ("inside", "half"):
        with pytest.raises(RequestError, match="not of the public internet"):
            fetch_image(f"http://{host}/a.jpg")
    with pytest.raises(RequestError, match="host is not known"):
        fetch_image("http://nowhere/a.jpg")


@contextmanager
def web(monkeypatch, answer):
    """Any public host is a server of this machine, which answers as `answer` does; yields what was asked for."""
    asked, plain = [], socket.create_connection

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.headers["Host"], self.path))
            answer(self)

        def log_message(self, *given):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def connect(address, timeout):
            asked.append(address)
            return plain(server.server_address, timeout)

        monkeypatch.setattr(socket, "create_connection", connect)
        yield asked
        server.shutdown()


def reply(handler, content, *, status=200, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    names(monkeypatch, **{"photos.example": ["8.8.4.4", "8.8.8.8"]})
    with web(monkeypatch, lambda handler: reply(handler, b"an image", Content_Length="8")) as asked:
        assert fetch_image("http://photos.example:81/a.jpg?b=c#d") == b"an image"
    assert asked == [("8.8.4.4", 81), ("photos.example:81", "/a.jpg?b=c")]


def test_redirects_are_followed_and_checked_each(monkeypatch):
    names(monkeypatch, **{"photos.example": ["8.8.8.8"], "inside.example": ["127.0.0.1"]})

    def answer(handler):
        target = {"/relative": "/there", "/inside": "http://inside.example/there", "/round": "/round",
                  "/file": "file:///etc/passwd"}.get(handler.path)  # fmt: skip
        reply(
            handler,
            b"" if target else b"an image",
            status=302 if target else 200,
            **({"Location": target} if target else {}),
        )

    with web(monkeypatch, answer) as asked:
        assert fetch_image("http://photos.example/relative") == b"an image"
        with pytest.raises(RequestError, match=r"inside\.example.*not of the public internet"):
            fetch_image("http://photos.example/inside")
        with pytest.raises(RequestError, match="http or https"):
            fetch_image("http://photos.example/file")
        with pytest.raises(RequestError, match="redirects more than 3 times"):
            fetch_image("http://photos.example/round")
    assert ("127.0.0.1", 80) not in asked


def test_bytes_and_seconds_are_bounded(monkeypatch):
    names(monkeypatch, **{"photos.example": ["8.8.8.8"]})
    monkeypatch.setattr(fetch, "MAX_BYTES", 1000)
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    over = threading.Event()

    def answer(handler):
        match handler.path:
            case "/fits":
                reply(handler, b"a" * 1000)
            case "/large":
                reply(handler, b"a" * 1001)
            case "/short":
                reply(handler, b"a" * 10, Content_Length="20")
            case "/missing":
                reply(handler, b"", status=404)
            case "/slow":  # a byte now and then keeps a socket's own timeout from ending it
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nA: ")
                while not over.wait(0.02):
                    handler.wfile.write(b"a")
            case "/drip":  # the last answer of its connection, which http.client lets go of while it reads
                handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
                while not over.wait(0.02):
                    handler.wfile.write(b"a")
        handler.close_connection = True

    with web(monkeypatch, answer):
        assert len(fetch_image("http://photos.example/fits")) == 1000
        with pytest.raises(TooLargeError):
            fetch_image("http://photos.example/large")
        for path, why in (
            ("/short", "cannot be read|too soon"),
            ("/missing", "answers 404"),
            ("/slow", "cannot be read|longer"),
            ("/drip", "cannot be read|longer"),
        ):
            with pytest.raises(RequestError, match=why):
                fetch_image(f"http://photos.example{path}")
        over.set()


def test_errors_show_no_secrets(monkeypatch):
    names(monkeypatch)
    with pytest.raises(RequestError) as told:
        fetch_image("https://me:secret@nowhere.example/a.jpg?signature=hidden")
    assert "secret" not in str(told.value)
    assert "hidden" not in str(told.value)


@pytest.mark.assets
def test_every_shape_fetches_where_it_is_allowed_and_nowhere_else(serve, expected, monkeypatch):
    from tests.unit.serving.conftest import IMAGES, close

    asked = []

    def given(url):
        asked.append(url)
        return (IMAGES / "cat.jpg").read_bytes()

    url = "https://photos.example/cat.jpg"
    bodies = {
        "/v1/embeddings": {"input": [{"image": url}]},
        "/embeddings": {"content": [{"prompt_string": "<__media__>", "multimodal_data": [url]}]},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]},
        "/api/generate": {"prompt": "Describe.", "images": [url], "stream": False},
        "/caption": {"image": url},
        "/classify": {"image": url, "labels": ["cat", "dog"]},
        "/search": {"image": url},
    }  # fmt: skip
    allowed, closed = serve(fetch=given), serve()
    for path, body in bodies.items():
        answer = closed.post(path, json=body)
        assert answer.status_code == 400, path
        assert "none is fetched" in answer.text
        assert allowed.post(path, json=body).status_code == (404 if path == "/search" else 200)
    assert asked == [url] * 6
    rows = [one["embedding"] for one in allowed.post("/v1/embeddings", json=bodies["/v1/embeddings"]).json()["data"]]
    assert close(rows, expected("cat.jpg")[None])
