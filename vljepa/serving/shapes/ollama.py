"""Ollama's `/api/generate`, `/api/embed`, `/api/tags` and `/api/version`, as PhotoPrism asks for captions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from vljepa import __version__
from vljepa.serving.service import Service


class GenerateRequest(BaseModel):
    """A prompt about images; a short question is answered, any other prompt gets a caption."""

    model: str | None = None
    prompt: str = ""
    images: list[str] | None = None
    stream: bool | None = True


class EmbedRequest(BaseModel):
    """Texts."""

    model: str | None = None
    input: str | list[str]
    dimensions: int | None = Field(None, ge=1)


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()
    started = _now()

    @routes.get("/api/version")
    def version() -> dict[str, str]:
        return {"version": __version__}

    @routes.get("/api/tags")
    def tags() -> dict[str, Any]:
        return {"models": [_tag(service, started)]}

    @routes.post("/api/embed")
    def embed(request: EmbedRequest) -> dict[str, Any]:
        began = time.perf_counter_ns()
        texts = [request.input] if isinstance(request.input, str) else request.input
        found = service.embed(texts, dimensions=request.dimensions)
        return {
            "model": request.model or service.name,
            "embeddings": found.rows.tolist(),
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": 0,
            "prompt_eval_count": found.tokens,
        }

    @routes.post("/api/generate")
    def generate(request: GenerateRequest) -> Response:
        began = time.perf_counter_ns()
        name = request.model or service.name
        if not request.prompt and not request.images:  # Ollama's way to load a model
            return JSONResponse(_part(name, "") | {"done": True, "done_reason": "load"})
        description = service.describe([service.image(one) for one in request.images or []], request.prompt)
        last = {"done": True, "done_reason": "stop", "total_duration": time.perf_counter_ns() - began}
        if request.stream is False:
            return JSONResponse(_part(name, description.text) | last)
        lines = [_part(name, description.text) | {"done": False}, _part(name, "") | last]
        return StreamingResponse(_lines(lines), media_type="application/x-ndjson")

    return routes


def _part(name: str, text: str) -> dict[str, Any]:
    return {"model": name, "created_at": _now(), "response": text}


def _lines(values: list[dict[str, Any]]) -> Iterator[str]:
    for value in values:
        yield json.dumps(value) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _tag(service: Service, started: str) -> dict[str, Any]:
    weights = list(service.pipeline.model.parameters())
    count = sum(one.numel() for one in weights)
    name = service.name if ":" in service.name else f"{service.name}:latest"
    details = {
        "format": "safetensors",
        "family": "vljepa",
        "families": ["vljepa"],
        "parameter_size": f"{count / 1e6:.0f}M",
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
