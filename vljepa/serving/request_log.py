"""What is noted of each request: metrics, and a line of JSON in the log.

Neither holds what was sent, the query of an address, a key, or a path that is not one of the shapes.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from vljepa.serving.metrics import Metrics

OTHER = "other"
"""The path of what no shape has."""


class Observe:
    """Count and log each request, and give it a number that its answer carries (`X-Request-Id`).

    Args:
        app: What answers.
        metrics: Counts.
        log: Where lines go; None for none.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log: TextIO | None = None) -> None:
        self.app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, number, status, sent = time.perf_counter(), uuid.uuid4().hex, 500, 0

        async def noted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", number.encode())]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        scope.setdefault("state", {})["number"] = number
        try:
            await self.app(scope, receive, noted)
        except Exception:
            if self._log is not None:
                write(self._log, level="error", message="fault", request=number, traceback=traceback.format_exc())
            raise
        finally:
            seconds = time.perf_counter() - began
            path = getattr(scope.get("route"), "path", OTHER)
            self._metrics.request(path, status, seconds)
            if self._log is not None:
                line = {"request": number, "method": scope["method"], "path": path, "status": status}
                write(self._log, level="info", message="request", **line, seconds=round(seconds, 6), bytes=sent)


class JsonHandler(logging.Handler):
    """Records of `logging`, faults with their traceback, as lines of JSON.

    Args:
        log: Where lines go.
    """

    def __init__(self, log: TextIO) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        more = {} if not record.exc_info else {"traceback": "".join(traceback.format_exception(*record.exc_info))}
        write(self._log, level=record.levelname.lower(), message=record.getMessage(), **more)


def write(log: TextIO, **fields: object) -> None:
    """One line, at once."""
    log.write(json.dumps({"time": datetime.now(UTC).isoformat(), **fields}) + "\n")
    log.flush()
