"""All wire shapes over one service, with errors in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from vljepa import __version__
from vljepa.errors import VLJEPAError
from vljepa.serving.admission import Admit
from vljepa.serving.errors import RequestError
from vljepa.serving.gate import LimitBody, RequireKey, error_body
from vljepa.serving.metrics import Metrics
from vljepa.serving.request_log import Observe
from vljepa.serving.service import Service
from vljepa.serving.shapes import chat, health, immich, llama_cpp, ollama, openai, own, search

MAX_BODY = 64 * 2**20
"""Bytes of a request."""
QUEUE = 128
"""Requests that need the model at once."""
BODIES = 4
"""So many of the largest requests may be in memory at once."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}}
    for status, description in (
        ("4XX", "What is wrong with the request, in the shape's own form."),
        ("5XX", "A fault of the server, or an answer that took too long, in the shape's own form."),
    )
}
"""As OpenAPI has them."""


def make_app(
    service: Service,
    *,
    api_key: str | None = None,
    max_body: int = MAX_BODY,
    queue: int = QUEUE,
    metrics: Metrics | None = None,
    log: TextIO | None = None,
) -> FastAPI:
    """The ASGI application.

    Args:
        service: The model.
        api_key: What every request but those for health has to carry; None for no key.
        max_body: Bytes of a request.
        queue: Requests that may need the model at once, those that wait included.
        metrics: Counts, of the service's batcher too; None for new ones.
        log: Where a line of JSON per request goes; None for none.
    """
    metrics = Metrics() if metrics is None else metrics
    app = FastAPI(title="vljepa", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(health.router(service, metrics), responses=ERRORS)
    for shape in (openai, chat, llama_cpp, ollama, immich, own, search):
        app.include_router(shape.router(service), responses=ERRORS)
    app.add_exception_handler(VLJEPAError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(LimitBody, most=max_body)
    app.add_middleware(
        Admit,
        most=queue,
        most_bytes=BODIES * max_body,
        largest=max_body,
        patience=service.timeout,
        on_change=metrics.in_hand,
    )
    if api_key is not None:
        app.add_middleware(RequireKey, key=api_key)
    app.add_middleware(Observe, metrics=metrics, log=log)
    return app


async def _user_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        return _answer(request, 400, str(error))
    answer = _answer(request, error.status, str(error), kind=error.kind)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, 400, f"the request is not as it should be: {_faults(error.errors())}.")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, str(error.detail))


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has it, the client is not told what it was."""
    del error
    answer = _answer(request, 500, "the server failed at this request; its log says why.", kind="server_error")
    answer.headers["X-Request-Id"] = request.state.number  # this is answered outside of `Observe`
    return answer


def _answer(request: Request, status: int, message: str, *, kind: str = "invalid_request_error") -> Response:
    message = message.encode("utf-8", "backslashreplace").decode()
    return JSONResponse(error_body(message, path=request.url.path, kind=kind), status_code=status)


def _faults(errors: Sequence[Any], most: int = 3) -> str:
    """What pydantic found, without the values that were sent."""
    messages = [
        f"{'.'.join(str(place)[:40] for place in one['loc'][1:]) or 'body'}: {one['msg']}" for one in errors[:most]
    ]
    return "; ".join(messages)
