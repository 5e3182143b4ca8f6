"""OpenAI's `GET /v1/models` and `POST /v1/embeddings`, with images as Jina and as vLLM send them.

Any `model` is taken, for many programs have a fixed one; the answer names the model that there is.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from vljepa.inference.embed import Rows
from vljepa.serving.errors import RequestError
from vljepa.serving.inputs import RequestImage, is_question, message_parts
from vljepa.serving.service import Service


class Message(BaseModel):
    """One of a conversation."""

    role: str
    content: str | list[Any] | None = None


class EmbeddingsRequest(BaseModel):
    """What to embed is in `input`, or in `messages`, which together are one input."""

    model: str | None = None
    input: Any = None
    messages: list[Message] | None = None
    dimensions: int | None = Field(None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(service)]}

    @routes.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        if name != service.name:
            raise HTTPException(404, f"there is no model of that name; the one that is served is {service.name!r}.")
        return _card(service)

    @routes.post("/v1/embeddings")
    def embeddings(request: EmbeddingsRequest) -> dict[str, Any]:
        if (request.input is None) == (request.messages is None):
            raise RequestError("what to embed is missing, or there twice.", fix="send input or messages.")
        found = service.embed(_inputs(request, service), dimensions=request.dimensions)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": one}
                for index, one in enumerate(_encoded(found.rows, request.encoding_format))
            ],
            "model": service.name,
            "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
        }

    return routes


def _inputs(request: EmbeddingsRequest, service: Service) -> list[str | RequestImage]:
    if request.messages is not None:
        return [_together(request.messages, service)]
    given = request.input if isinstance(request.input, list) else [request.input]
    return [_item(one, service) for one in given]


def _item(given: Any, service: Service) -> str | RequestImage:
    """One of `input`: a text, or an item as Jina sends them.

    Raises:
        RequestError: It is neither; token numbers, for one.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, dict) and given.keys() == {"text"} and isinstance(given["text"], str):
        return given["text"]
    if isinstance(given, dict) and given.keys() == {"image"}:
        return RequestImage(service.image(given["image"]))
    if isinstance(given, int) or (isinstance(given, list) and all(isinstance(one, int) for one in given)):
        raise RequestError(
            "input holds token numbers, which are those of another tokenizer.",
            fix="send texts; for LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False.",
        )
    raise RequestError(
        "an item of input is neither a text nor an image.", fix='send texts, {"text": ...} or {"image": base64}.'
    )


def _together(messages: list[Message], service: Service) -> str | RequestImage:
    """Messages as one input: an image, under the question beside it if there is one; or the text."""
    texts, images = [], []
    for message in messages:
        text, some = message_parts(message.content, addresses=service.addresses)
        texts.append(text)
        images += some
    text = "\n".join(filter(None, texts))
    if not images:
        return text
    if len(images) > 1:
        raise RequestError(
            f"the messages hold {len(images)} images, and one is embedded.", fix="send a request for each."
        )
    return RequestImage(images[0], text.strip() if is_question(text) else "")


def _encoded(rows: Rows, how: Literal["float", "base64"]) -> list[Any]:
    if how == "float":
        return list(rows.tolist())
    return [base64.b64encode(np.ascontiguousarray(row, dtype="<f4").tobytes()).decode() for row in rows]


def _card(service: Service) -> dict[str, Any]:
    return {
        "id": service.name,
        "object": "model",
        "created": 0,
        "owned_by": "vljepa",
        "aliases": [],
        "architecture": {
            "input_modalities": ["text", "image"],
            "output_modalities": ["embeddings", *(["text"] if service.has_words else [])],
        },
    }
