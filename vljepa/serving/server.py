"""The process that listens: until SIGTERM, which lets requests that have begun end first."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

import uvicorn

from vljepa.errors import ConfigError
from vljepa.serving.request_log import JsonHandler

if TYPE_CHECKING:
    from starlette.types import ASGIApp

DRAIN_SECONDS = 30
"""How long requests that have begun may take after SIGTERM."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; clients wait in its queue until the model is loaded.

    Args:
        host: Name or address.
        port: 0 for a free one.

    Raises:
        ConfigError: The address is not this machine's, or is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {why}.", fix="give another --host or --port.") from (
            error
        )
    # One that does not say that it is of TCP gets connections for which asyncio does not switch off Nagle's algorithm:
    # the second part of each answer would wait for the client's delayed acknowledgement, 40 ms.
    return socket.socket(bound.family, bound.type, socket.IPPROTO_TCP, fileno=bound.detach())


def address(bound: socket.socket) -> str:
    """`http://host:port` of a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, bound: socket.socket, *, on_ready: Callable[[], None], log: TextIO | None = None) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then no new ones, and return when those that have begun are answered.

    Args:
        app: The application.
        bound: Of `listen`.
        on_ready: Called once requests are answered.
        log: Where faults go, as lines of JSON; None for stderr, as text.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            on_ready()

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        log_config=uvicorn.config.LOGGING_CONFIG if log is None else None,
    )
    if log is not None:
        for name in ("uvicorn", "vljepa.serving"):
            logger = logging.getLogger(name)
            logger.addHandler(JsonHandler(log))
            logger.propagate = False
    server = Server(config)

    def end(*_: object) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, end)  # uvicorn raises the signal again when it has drained
    try:
        server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
