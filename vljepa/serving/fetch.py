"""Images by address, where `--allow-urls` allows them: from public addresses only, within bounds of bytes and time.

What a name resolves to is checked, and the connection goes to the address that was checked: a name that resolves to
another one an instant later gains nothing. Every redirect is checked in the same way.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from vljepa.addresses import without_secrets
from vljepa.serving.errors import RequestError, TooLargeError

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_BYTES = 20 * 2**20
SECONDS = 10.0
"""For all of it, redirects included."""
REDIRECTS = 3
_AT_ONCE = threading.BoundedSemaphore(8)
_TRANSLATED = [ipaddress.ip_network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")]
"""IPv4 addresses as networks without IPv4 see them, and as they once were written."""
_FIX = "send the image itself: base64, or a data URL (data:image/jpeg;base64,...)."


def fetch_image(url: str) -> bytes:
    """What a public address of the web gives.

    Args:
        url: http or https.

    Raises:
        RequestError: Another scheme, a host that is not public, or one that does not give the file.
        TooLargeError: More than `MAX_BYTES`.
    """
    if not _AT_ONCE.acquire(timeout=SECONDS):
        raise _failed(url, "too many others are being fetched")
    try:
        deadline = time.monotonic() + SECONDS
        for _ in range(REDIRECTS + 1):
            following, content = _get(url, deadline)
            if following is None:
                return content
            url = urljoin(url, following)
    finally:
        _AT_ONCE.release()
    raise _failed(url, f"it redirects more than {REDIRECTS} times")


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet, and not of this machine, its network, or its cloud."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(inner):
            return False
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _get(url: str, deadline: float) -> tuple[str | None, bytes]:
    """Where a redirect leads, or the content."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise _failed(url, "it is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _failed(url, "it is not of http or https")
    address = _resolved(url, parts.hostname, port)
    connection = _Connection(parts, port, address, timeout=_left(url, deadline))
    timer = threading.Timer(_left(url, deadline), connection.cut)  # a server that sends a byte now and then
    timer.start()
    try:
        connection.request("GET", _target(parts), headers={"User-Agent": "vljepa", "Accept": "image/*"})
        answer = connection.getresponse()
        if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("Location"):
            return answer.headers["Location"], b""
        if answer.status != 200:
            raise _failed(url, f"its server answers {answer.status}")
        content = answer.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise TooLargeError(f"the image at {_shown(url)} is larger than {MAX_BYTES >> 20} MiB.", fix=_FIX)
        if answer.length:  # of what was announced, so much is missing
            raise _failed(url, "the connection ended too soon")
        _left(url, deadline)
        return None, content
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(url, f"it cannot be read ({type(error).__name__})") from error
    finally:
        timer.cancel()
        connection.close()


def _resolved(url: str, host: str, port: int) -> str:
    """The first address of a host, all of whose addresses are public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _failed(url, "its host is not known") from None
    addresses = [str(one[4][0]).partition("%")[0] for one in found]
    if not addresses or not all(is_public(ipaddress.ip_address(one)) for one in addresses):
        raise _failed(url, "its host is not of the public internet")
    return addresses[0]


class _Connection(http.client.HTTPConnection):
    """To an address that was checked, under the name that it was found by."""

    def __init__(self, parts: SplitResult, port: int, address: str, *, timeout: float) -> None:
        assert parts.hostname is not None
        super().__init__(parts.hostname, port, timeout=timeout)
        self._address, self._secure = address, parts.scheme == "https"
        self._open: socket.socket | None = None  # http.client forgets its own as soon as the answer is the last one

    def connect(self) -> None:
        """Connect to the address, and nowhere else."""
        self._open = plain = socket.create_connection((self._address, self.port), self.timeout)
        if not self._secure:
            self.sock = plain
            return
        context = ssl.create_default_context()
        self._open = self.sock = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()  # which `cut` can end

    def cut(self) -> None:
        """End it from another thread."""
        with suppress(OSError):
            if self._open is not None:
                self._open.shutdown(socket.SHUT_RDWR)


def _target(parts: SplitResult) -> str:
    whole = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return quote(whole, safe="%/:=&?~#+!$,;'@()*[]")  # letters beyond ASCII; what is quoted stays


def _left(url: str, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _failed(url, f"it takes longer than {SECONDS:g} s")
    return left


def _shown(url: str) -> str:
    return ascii(without_secrets(url[:200], at_in_path=True))


def _failed(url: str, why: str) -> RequestError:
    return RequestError(f"no image is fetched from {_shown(url)}: {why}.", fix=_FIX)
