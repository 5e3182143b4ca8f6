"""How much is let in: a bounded number of requests at once, which bounds memory; others are told when to come again."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from vljepa.serving.gate import content_length, error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_WAIT = 30
"""Seconds that a client is asked to wait, at most."""
_SPARE_THREADS = 8
"""For requests that are not counted."""


class Admit:
    """Refuse what comes while `most` requests that need the model are in hand, before their bodies are read.

    Args:
        app: What answers those that are let in.
        most: Requests at once, those that wait for the model included.
        most_bytes: Bytes of their bodies together.
        largest: Bytes of a body that does not say how large it is.
        patience: Seconds in which a body has to be there.
        on_change: Called with the number of requests in hand.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most: int,
        most_bytes: int,
        largest: int,
        patience: float,
        on_change: Callable[[int], object] | None = None,
    ) -> None:
        self.app = app
        self._most, self._most_bytes, self._largest, self._patience = most, most_bytes, largest, patience
        self._on_change = on_change
        self._requests = self._bytes = 0
        self._ended: deque[float] = deque(maxlen=32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it; only what is posted needs the model."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        length = content_length(scope)
        size = self._largest if length is None else length
        if self._requests >= self._most or (self._requests and self._bytes + size > self._most_bytes):
            await self._refusal(scope["path"])(scope, receive, send)
            return
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._most + _SPARE_THREADS
        self._count(1, size)
        try:
            await self.app(scope, self._in_time(receive), send)
        finally:
            self._count(-1, -size)
            self._ended.append(time.monotonic())

    def _count(self, requests: int, size: int) -> None:
        self._requests += requests
        self._bytes += size
        if self._on_change is not None:
            self._on_change(self._requests)

    def _in_time(self, receive: Receive) -> Receive:
        """The same, until the body is there: a client that sends none keeps others out."""
        whole = False
        deadline = time.monotonic() + self._patience

        async def timed() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"the request was not there within {self._patience:g} seconds.") from None
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return timed

    def _refusal(self, path: str) -> Response:
        message = "the server has as many requests as it takes. Fix: send this one again after Retry-After seconds."
        body = error_body(message, path=path, kind="rate_limit_error")
        headers = {"Retry-After": str(self._wait()), "Connection": "close"}
        return JSONResponse(body, status_code=429, headers=headers)

    def _wait(self) -> int:
        """Seconds in which half of what is in hand will be done, by how fast the last ones were."""
        if len(self._ended) < 2:
            return 1
        each = (time.monotonic() - self._ended[0]) / len(self._ended)
        return min(MAX_WAIT, max(1, math.ceil(each * self._requests / 2)))
