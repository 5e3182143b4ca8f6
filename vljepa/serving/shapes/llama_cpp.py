"""llama.cpp's `GET /props` and `POST /embeddings`, as Frigate asks for them.

The marker in a prompt stands for the image beside it. Frigate cuts or pads embeddings to 768 numbers itself.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from vljepa.serving.errors import RequestError
from vljepa.serving.inputs import RequestImage, is_question
from vljepa.serving.service import Service

MARKER = "<__media__>"


class EmbeddingsRequest(BaseModel):
    """`content`: texts, and prompts with images."""

    model: str | None = None
    content: Any


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.get("/props")
    def props() -> dict[str, Any]:
        return {
            "model_alias": service.name,
            "modalities": {"vision": True, "audio": False},
            "media_marker": MARKER,
            "default_generation_settings": {"n_ctx": 4096},
            "total_slots": 1,
        }

    @routes.post("/embeddings")
    def embeddings(request: EmbeddingsRequest) -> dict[str, Any]:
        content = request.content if isinstance(request.content, list) else [request.content]
        rows = service.embed([_item(one, service) for one in content]).rows
        data = [{"index": index, "embedding": row} for index, row in enumerate(rows.tolist())]
        return {"object": "list", "data": data, "model": service.name}

    return routes


def _item(given: Any, service: Service) -> str | RequestImage:
    if isinstance(given, str):
        return given
    prompt = given.get("prompt_string") if isinstance(given, dict) else None
    media = given.get("multimodal_data") if isinstance(given, dict) else None
    if not isinstance(prompt, str) or not (media is None or isinstance(media, list)):
        raise RequestError(
            "an entry of content is neither a text nor a prompt.",
            fix='send {"prompt_string": text}, or {"prompt_string": "<__media__>", "multimodal_data": [base64]}.',
        )
    if not media:
        return prompt
    if len(media) > 1:
        raise RequestError(f"an entry holds {len(media)} images, and one is embedded.", fix="send one in each entry.")
    text = prompt.replace(MARKER, "").strip()
    return RequestImage(service.image(media[0]), text if is_question(text) else "")
