"""All wire shapes over one service, with errors in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from vljepa import __version__
from vljepa.errors import VLJEPAError
from vljepa.serving.errors import RequestError
from vljepa.serving.gate import LimitBody, RequireKey, error_body
from vljepa.serving.service import Service
from vljepa.serving.shapes import chat, health, immich, llama_cpp, ollama, openai, own

MAX_BODY = 64 * 2**20
"""Bytes of a request."""


def make_app(service: Service, *, api_key: str | None = None, max_body: int = MAX_BODY) -> FastAPI:
    """The ASGI application.

    Args:
        service: The model.
        api_key: What every request but those for health has to carry; None for no key.
        max_body: Bytes of a request.
    """
    app = FastAPI(title="vljepa", version=__version__, docs_url=None, redoc_url=None)
    for shape in (health, openai, chat, llama_cpp, ollama, immich, own):
        app.include_router(shape.router(service))
    app.add_exception_handler(VLJEPAError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(LimitBody, most=max_body)
    if api_key is not None:
        app.add_middleware(RequireKey, key=api_key)
    return app


async def _user_error(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestError) else 400
    return _answer(request, status, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, 400, f"the request is not as it should be: {_faults(error.errors())}.")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, str(error.detail))


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has it, the client is not told what it was."""
    del error
    return _answer(request, 500, "the server failed at this request; its log says why.", kind="server_error")


def _answer(request: Request, status: int, message: str, *, kind: str = "invalid_request_error") -> Response:
    message = message.encode("utf-8", "backslashreplace").decode()
    return JSONResponse(error_body(message, path=request.url.path, kind=kind), status_code=status)


def _faults(errors: Sequence[Any], most: int = 3) -> str:
    """What pydantic found, without the values that were sent."""
    messages = [
        f"{'.'.join(str(place)[:40] for place in one['loc'][1:]) or 'body'}: {one['msg']}" for one in errors[:most]
    ]
    return "; ".join(messages)
