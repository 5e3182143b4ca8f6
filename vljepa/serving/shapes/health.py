"""`GET /healthz`, `/readyz` and `/metrics`: the process lives, it can answer, and how much it does."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

from vljepa.serving.metrics import Metrics
from vljepa.serving.service import Service


def router(service: Service, metrics: Metrics) -> APIRouter:
    """Routes of this shape. The server listens for requests once its model is loaded."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> Response:
        if service.batcher.ready:
            return JSONResponse({"status": "ready", "model": service.name})
        return JSONResponse({"status": "not ready", "model": service.name}, status_code=503)

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def counts() -> Response:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    return routes
