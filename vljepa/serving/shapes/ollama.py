"""Ollama's `/api/generate` and `/api/chat`, as PhotoPrism and Frigate ask for captions, and what goes with them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool
from starlette.responses import JSONResponse, Response, StreamingResponse

from vljepa import __version__
from vljepa.serving.inputs import RequestImage
from vljepa.serving.service import Service

IMAGE_MARKER = "[img]"
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {}}}}


class GenerateRequest(BaseModel):
    """A prompt about images; a short question is answered, any other prompt gets a caption."""

    model: str | None = None
    prompt: str = ""
    images: list[str] | None = None
    stream: StrictBool | None = True


class ChatMessage(BaseModel):
    """One of a conversation; `[img]` in its content marks where an image goes."""

    role: str
    content: str | None = None
    images: list[str] | None = None


class ChatRequest(BaseModel):
    """A conversation: the last user's text, about the images that came last."""

    model: str | None = None
    messages: list[ChatMessage] = []
    stream: StrictBool | None = True


class ImageItem(BaseModel):
    """An image to embed."""

    image: str


class EmbedRequest(BaseModel):
    """Texts and images."""

    model: str | None = None
    input: str | ImageItem | list[str | ImageItem]
    dimensions: int | None = Field(None, ge=1)


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()
    started = _now()
    tag = cache(lambda: _tag(service, started))  # it hashes the weights

    @routes.get("/api/version")
    def version() -> dict[str, str]:
        return {"version": __version__}

    @routes.get("/api/tags")
    def tags() -> dict[str, Any]:
        return {"models": [tag()]}

    @routes.post("/api/show")
    def show() -> dict[str, Any]:
        return {
            "details": tag()["details"],
            "modified_at": started,
            "model_info": {
                "general.architecture": "vljepa",
                "general.parameter_count": _parameters(service),
                "vljepa.embedding_length": service.width,
            },
            "capabilities": ["embedding", "vision", *(["completion"] if service.has_words else [])],
        }

    @routes.post("/api/embed")
    def embed(request: EmbedRequest) -> dict[str, Any]:
        began = time.perf_counter_ns()
        given = request.input if isinstance(request.input, list) else [request.input]
        inputs = [one if isinstance(one, str) else RequestImage(service.image(one.image)) for one in given]
        found = service.embed(inputs, dimensions=request.dimensions)
        return {
            "model": request.model or service.name,
            "embeddings": found.rows.tolist(),
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": 0,
            "prompt_eval_count": found.tokens,
        }

    @routes.post("/api/generate", responses=STREAMED)
    def generate(request: GenerateRequest) -> Response:
        asked = (request.images or []) if request.prompt or request.images else None
        return _words(service, request, request.prompt, asked, key="response")

    @routes.post("/api/chat", responses=STREAMED)
    def chat(request: ChatRequest) -> Response:
        users = [message for message in request.messages if message.role == "user"]
        prompt = (users[-1].content or "") if users else ""
        images = next((message.images for message in reversed(users) if message.images), [])
        prompt = prompt.replace(IMAGE_MARKER, "").strip()
        return _words(service, request, prompt, images if users else None, key="message")

    return routes


def _words(
    service: Service, request: GenerateRequest | ChatRequest, prompt: str, images: list[str] | None, *, key: str
) -> Response:
    """The answer, whole or as lines; without anything asked it says that the model is loaded, as Ollama does."""
    began, name = time.perf_counter_ns(), request.model or service.name

    def part(text: str) -> dict[str, Any]:
        content = {"role": "assistant", "content": text} if key == "message" else text
        return {"model": name, "created_at": _now(), key: content}

    if images is None:
        return JSONResponse(part("") | {"done": True, "done_reason": "load"})
    description = service.describe([service.image(one) for one in images], prompt)
    last = {
        "done": True,
        "done_reason": "stop",
        "total_duration": time.perf_counter_ns() - began,
        "prompt_eval_count": description.read,
        "eval_count": description.written,
    }
    if request.stream is False:
        return JSONResponse(part(description.text) | last)
    lines = [part(description.text) | {"done": False}, part("") | last]
    return StreamingResponse(_lines(lines), media_type="application/x-ndjson")


def _lines(values: list[dict[str, Any]]) -> Iterator[str]:
    for value in values:
        yield json.dumps(value) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _parameters(service: Service) -> int:
    return sum(one.numel() for one in service.pipeline.model.parameters())


def _tag(service: Service, started: str) -> dict[str, Any]:
    weights = list(service.pipeline.model.parameters())
    name = service.name if ":" in service.name else f"{service.name}:latest"
    details = {
        "format": "safetensors",
        "family": "vljepa",
        "families": ["vljepa"],
        "parameter_size": f"{_parameters(service) / 1e6:.0f}M",
        "quantization_level": str(weights[0].dtype).removeprefix("torch.").upper(),
    }
    return {
        "name": name,
        "model": name,
        "modified_at": started,
        "size": sum(one.numel() * one.element_size() for one in weights),
        "digest": service.pipeline.model.fingerprint(),
        "details": details,
    }
