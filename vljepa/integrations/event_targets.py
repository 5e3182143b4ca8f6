"""Where events go: an address that takes JSON by POST, or a topic of an MQTT broker."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from vljepa.addresses import without_secrets
from vljepa.errors import ConfigError
from vljepa.integrations.outbox import RefusedEventError

_PATIENCE = 10.0
"""Seconds for one attempt."""
_TRY_AGAIN = (408, 425, 429)
"""Refusals of HTTP that are about now, and not about the request."""


@dataclass(frozen=True)
class Target:
    """Somewhere that events go.

    Args:
        name: As it may be shown: without a password.
        send: For `Outbox`.
        close: When no more come.
    """

    name: str
    send: Callable[[bytes], None]
    close: Callable[[], None]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would arrive there as a GET without its event."""

    def redirect_request(self, *args: Any) -> None:
        return None


def webhook(address: str, *, headers: Mapping[str, str] | None = None) -> Target:
    """An address that takes each event as the body of a POST, `application/json`; 2xx is taken.

    Other answers of the kind 4xx refuse an event for good, but for 408, 425 and 429.

    Args:
        address: `http` or `https`; a user and a password in it go as basic authentication.
        headers: Of each request, besides.

    Raises:
        ConfigError: It is no such address, or a header is none.
    """
    parts = _parts(address, ("http", "https"), option="--webhook")
    own = {"Content-Type": "application/json", "User-Agent": "vljepa", **(headers or {})}
    for name, value in own.items():
        if not name.strip() or any(char in name + value for char in "\r\n"):
            raise ConfigError(f"{name!r} is no header.", fix='write it as "Authorization: Bearer TOKEN".')
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        own.setdefault("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    opener = urllib.request.build_opener(_NoRedirect())

    def send(event: bytes) -> None:
        request = urllib.request.Request(plain, data=event, headers=own, method="POST")
        try:
            with opener.open(request, timeout=_PATIENCE) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 500 and error.code not in _TRY_AGAIN:
                raise RefusedEventError(f"it answers {error.code} {error.reason}") from error
            raise

    host = parts.netloc.rpartition("@")[2]  # the path of a webhook may be its secret
    return Target(f"{parts.scheme}://{host}/...", send, lambda: None)


def mqtt(address: str) -> Target:
    """A topic of a broker, which each event is published to with quality of service 1 and not retained.

    Args:
        address: `mqtt://USER:PASSWORD@HOST:PORT/TOPIC`; `mqtts` for TLS. Ports 1883 and 8883 where none is given.

    Raises:
        ConfigError: It is no such address, has no topic or one with a wildcard, or paho-mqtt is not installed.
    """
    parts = _parts(address, ("mqtt", "mqtts"), option="--mqtt")
    topic = unquote(parts.path).strip("/")
    if not topic or "#" in topic or "+" in topic or "#" in address:
        raise ConfigError(
            f"--mqtt {without_secrets(address, at_in_path=False)!r} names no topic to publish to.",
            fix="write it as mqtt://HOST/TOPIC, such as mqtt://localhost/vljepa/door, without + and #.",
        )
    try:
        import paho.mqtt.client as paho
    except ImportError as error:
        raise ConfigError("--mqtt needs paho-mqtt.", fix='pip install "vljepa-torch[events]".') from error
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if parts.username is not None:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context())
    host, port = str(parts.hostname), parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    client.connect_timeout = _PATIENCE
    running = False

    def send(event: bytes) -> None:
        nonlocal running
        if not client.is_connected():
            if running:
                client.loop_stop()
            _connect(client, host, port)
            running = True
        sent = client.publish(topic, event, qos=1)
        sent.wait_for_publish(_PATIENCE)
        if not sent.is_published():
            client.disconnect()
            raise TimeoutError(f"no answer within {_PATIENCE:.0f} s")

    def close() -> None:
        if running:
            client.disconnect()
            client.loop_stop()

    return Target(without_secrets(address, at_in_path=False), send, close)


def _connect(client: Any, host: str, port: int) -> None:
    """Wait until the broker has let the client in.

    Raises:
        OSError: It has not.
    """
    import threading

    answered, refused = threading.Event(), []

    def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, properties
        if reason.is_failure:
            refused.append(str(reason))
        answered.set()

    client.on_connect = on_connect
    client.connect(host, port)
    client.loop_start()
    if not answered.wait(_PATIENCE) or refused:
        client.disconnect()
        client.loop_stop()
        raise ConnectionError(refused[0] if refused else f"no answer within {_PATIENCE:.0f} s")


def _parts(address: str, kinds: tuple[str, ...], *, option: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        sound = parts.scheme in kinds and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or any(map(str.isspace, address)):
        shown = without_secrets(address, at_in_path=False) if "://" in address else address
        raise ConfigError(f"{option} {shown!r} is no address.", fix=f"write it as {kinds[0]}://HOST/PATH.")
    return parts
