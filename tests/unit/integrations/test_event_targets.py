"""Webhooks against a real HTTP server, and MQTT against a real broker (amqtt) in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import paho.mqtt.client as paho
import pytest
from PIL import Image

from vljepa.errors import ConfigError
from vljepa.integrations.event_targets import mqtt, webhook
from vljepa.integrations.outbox import Outbox, RefusedEventError


class _Receiver(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.server.got.append((self.path, dict(self.headers), body, status))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.got, server.answers, server.at = [], [], f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Broker:
    """amqtt on a port of its own, in a thread; `got` holds what a subscriber to everything receives."""

    def __init__(self, port: int = 0) -> None:
        self.got: Queue[tuple[str, bytes, int, bool]] = Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        config = {"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": plugins}
        self._broker = self._wait(self._start(config))
        [listener] = self._broker._servers.values()
        self.port = listener.instance.sockets[0].getsockname()[1]

    async def _start(self, config: dict[str, Any]) -> Any:
        from amqtt.broker import Broker as Amqtt

        broker = Amqtt(config)
        await broker.start()
        return broker

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def listen(self) -> paho.Client:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        ready = threading.Event()
        client.on_message = lambda one, data, message: self.got.put(
            (message.topic, message.payload, message.qos, message.retain)
        )
        client.on_subscribe = lambda *arguments: ready.set()
        client.connect("127.0.0.1", self.port)
        client.subscribe("vljepa/#", qos=1)
        client.loop_start()
        assert ready.wait(30)
        return client

    def close(self) -> None:
        self._wait(self._broker.shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)


@pytest.fixture
def broker() -> Iterator[Broker]:
    running = Broker()
    yield running
    running.close()


def test_a_webhook_gets_the_event_as_it_is(receiver: Any) -> None:
    target = webhook(f"http://me:s%40cret@{receiver.at}/hook?room=1", headers={"X-Key": "7"})
    target.send(b'{"text": "a dog"}')
    [(path, headers, body, _)] = receiver.got
    assert (path, body) == ("/hook?room=1", b'{"text": "a dog"}')
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Key"] == "7"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()
    assert target.name == f"http://{receiver.at}/...", "the path of a webhook may be its secret"


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_webhook_that_refuses_is_not_asked_again(receiver: Any, status: int) -> None:
    receiver.answers = [status]
    with pytest.raises(RefusedEventError, match=f"it answers {status}"):
        webhook(f"http://{receiver.at}/").send(b"{}")
    assert len(receiver.got) == 1, "no redirect is followed"


def test_a_webhook_that_is_busy_gets_every_event_in_the_end(receiver: Any) -> None:
    receiver.answers = [503, 429, 204, 500]
    outbox = Outbox(webhook(f"http://{receiver.at}/").send, first_wait=0.001)
    for number in range(3):
        outbox.put(b"%d" % number)
    counts = outbox.close(wait=30)
    assert (counts.sent, counts.retries, counts.refused) == (3, 3, 0)
    assert [body for _, _, body, status in receiver.got if status == 204] == [b"0", b"1", b"2"]


def test_mqtt_publishes_to_the_topic(broker: Broker) -> None:
    listener = broker.listen()
    target = mqtt(f"mqtt://127.0.0.1:{broker.port}/vljepa/front%20door")
    for event in (b"one", b"two"):
        target.send(event)
    assert [broker.got.get(timeout=30) for _ in range(2)] == [
        ("vljepa/front door", b"one", 1, False), ("vljepa/front door", b"two", 1, False),
    ]  # fmt: skip
    target.close()
    listener.loop_stop()


def test_mqtt_connects_again_to_a_broker_that_was_away() -> None:
    first = Broker()
    target = mqtt(f"mqtt://127.0.0.1:{first.port}/vljepa/x")
    trouble = threading.Event()
    outbox = Outbox(target.send, first_wait=0.01, on_trouble=lambda message: trouble.set())
    target.send(b"early")
    first.close()
    outbox.put(b"late")
    assert trouble.wait(30)
    second = Broker(first.port)
    listener = second.listen()
    assert second.got.get(timeout=30)[:2] == ("vljepa/x", b"late")
    counts = outbox.close(wait=30)
    assert (counts.sent, counts.dropped) == (1, 0)
    assert counts.retries >= 1
    target.close()
    listener.disconnect()
    listener.loop_stop()
    second.close()


def test_what_is_no_address_is_refused_without_its_password() -> None:
    for call, address, message in (
        (webhook, "ftp://me:secret@host/x", "no address"),
        (webhook, "http:///x", "no address"),
        (mqtt, "mqtt://me:secret@host", "names no topic"),
        (mqtt, "mqtt://me:secret@host/a/#", "names no topic"),
        (mqtt, "mqtt://host/+/a", "names no topic"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            call(address)  # type: ignore[operator]
        assert "secret" not in str(error.value)
    with pytest.raises(ConfigError, match="is no header"):
        webhook("http://host/", headers={"X": "a\r\nY: b"})


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(36):
        Image.new("RGB", (8, 8), ("red", "blue", "white")[number // 12]).save(folder / f"{number:03}.png")
    return folder


def test_stream_sends_each_caption(
    receiver: Any, broker: Broker, frames: Path, speaking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from vljepa.cli.main import main

    listener = broker.listen()
    hook, topic = f"http://{receiver.at}/hook", f"mqtt://127.0.0.1:{broker.port}/vljepa/door"
    assert main(["stream", str(frames), *speaking, "--webhook", hook, "--mqtt", topic]) == 0
    out = capsys.readouterr()
    events = [json.loads(body) for _, _, body, _ in receiver.got]
    assert [(one["event"], one["start"], one["end"]) for one in events] == [
        ("caption", 0, 3), ("caption", 3, 6), ("caption", 6, 9),
    ]  # fmt: skip
    assert [line.partition(f"{frames}: ")[2] or line for line in out.out.splitlines()]
    assert {one["source"] for one in events} == {str(frames)}
    assert [json.loads(broker.got.get(timeout=30)[1]) for _ in range(3)] == events
    assert f"{hook.removesuffix('/hook')}/...: 3 events sent" in out.err
    assert f"{topic}: 3 events sent" in out.err
    listener.loop_stop()


def test_stream_goes_on_without_its_receiver(
    frames: Path, speaking: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vljepa.cli import stream_events
    from vljepa.cli.main import main

    monkeypatch.setattr(stream_events.StreamEvents.__init__, "__kwdefaults__", {"size": 2, "wait": 0.01})
    assert main(["stream", str(frames), *speaking, "--webhook", "http://127.0.0.1:9/"]) == 0
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 3
    assert "http://127.0.0.1:9/...: 0 events sent, 3 dropped" in out.err
