"""What is checked before a request's body is read: the key, and how large the body is."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Asked for by what watches a server and has no key."""


def error_body(message: str, *, path: str, kind: str = "invalid_request_error") -> dict[str, object]:
    """An error as clients of a path read it: Ollama's are a text, OpenAI's and all others' an object."""
    if path.startswith("/api/"):
        return {"error": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def content_length(scope: Scope) -> int | None:
    """Bytes of the body, as the request says; None where it does not."""
    length = dict(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() else None


class RequireKey:
    """Let a request through that has the key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."""

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        self.app = app
        self.key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._has_key(scope):
            message = "the API key is missing or wrong. Fix: send Authorization: Bearer and the server's --api-key."
            body = error_body(message, path=scope["path"], kind="authentication_error")
            refused: Response = JSONResponse(body, status_code=401, headers={"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        kind, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self.key)


class LimitBody:
    """Refuse a request whose body is larger than `most` bytes, also one that does not say so beforehand."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if (content_length(scope) or 0) > self.most:
            body = error_body(self._message(), path=scope["path"])
            refused: Response = JSONResponse(body, status_code=413, headers={"Connection": "close"})
            await refused(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                raise HTTPException(413, self._message())
            return message

        await self.app(scope, counted, send)

    def _message(self) -> str:
        return (
            f"the request is larger than {self.most / 2**20:g} MiB. Fix: send fewer or smaller images, or raise the "
            "server's --max-body."
        )
