"""Our own `POST /search`: the images and segments of the server's index that are nearest to a text or an image.

Paths in answers are relative to the index's folder, which no answer names; the files themselves are not served.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from vljepa.serving.errors import RequestError
from vljepa.serving.inputs import RequestImage
from vljepa.serving.service import Service

MAX_HITS = 1000


class SearchRequest(BaseModel):
    """A text, or an image: base64 or a data URL."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    image: str | None = None
    k: int = Field(10, ge=1, le=MAX_HITS)
    per_video: int | None = Field(None, ge=1)
    min_score: float = Field(-1.0, ge=-1, le=1)


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.post("/search")
    def search(request: SearchRequest) -> dict[str, Any]:
        if (request.text is None) == (request.image is None):
            raise RequestError("what to search for is missing, or there twice.", fix="send text or image.")
        query = request.text if request.text is not None else RequestImage(service.image(request.image))
        hits = service.search(query, k=request.k, per_video=request.per_video, min_score=request.min_score)
        return {"hits": [asdict(hit) for hit in hits]}

    return routes
