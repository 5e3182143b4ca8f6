"""immich's machine learning server: `GET /ping` and `POST /predict`, for its search by text and image.

immich knows the width of embeddings by the model that its settings name; that one has to be the server's (`--width`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, File, Form
from starlette.responses import PlainTextResponse

from vljepa.processing.given import as_rgb
from vljepa.serving.errors import RequestError
from vljepa.serving.inputs import RequestImage
from vljepa.serving.service import Service

_FIX = 'send entries = {"clip": {"visual": {"modelName": ...}}} and image, or "textual" and text.'


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.get("/ping", response_class=PlainTextResponse)
    async def ping() -> PlainTextResponse:
        return PlainTextResponse("pong")

    @routes.post("/predict")
    def predict(
        entries: Annotated[str, Form()],
        image: Annotated[bytes | None, File()] = None,
        text: Annotated[str | None, Form()] = None,
    ) -> dict[str, Any]:
        if _kind(entries) == "textual":
            if text is None:
                raise RequestError("there is no text.", fix=_FIX)
            return {"clip": _numbers(service, text)}
        if image is None:
            raise RequestError("there is no image.", fix=_FIX)
        limit = service.pipeline.processor.config.x_encoder.image.max_pixels
        opened = as_rgb(image, max_pixels=limit)
        clip = _numbers(service, RequestImage(image))
        return {"clip": clip, "imageHeight": opened.height, "imageWidth": opened.width}

    return routes


def _kind(entries: str) -> str:
    """Which of "visual" and "textual" is asked for.

    Raises:
        RequestError: Another task, such as faces, or no JSON of that form.
    """
    try:
        tasks = json.loads(entries)
    except ValueError:
        raise RequestError("entries is not JSON.", fix=_FIX) from None
    if not isinstance(tasks, dict) or tasks.keys() != {"clip"}:
        raise RequestError(
            "entries asks for another task than clip.",
            fix="keep faces and text recognition on immich's own server, or turn them off.",
        )
    kinds = tasks["clip"]
    if not isinstance(kinds, dict) or len(kinds) != 1 or not kinds.keys() <= {"visual", "textual"}:
        raise RequestError("entries.clip is neither visual nor textual.", fix=_FIX)
    return str(next(iter(kinds)))


def _numbers(service: Service, item: str | RequestImage) -> str:
    """Immich hands this text to its database as it is."""
    return json.dumps(service.embed([item]).rows[0].tolist(), separators=(",", ":"))
