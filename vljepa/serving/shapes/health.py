"""`GET /healthz` and `GET /readyz`: the process lives, and it answers."""

from __future__ import annotations

from fastapi import APIRouter

from vljepa.serving.service import Service


def router(service: Service) -> APIRouter:
    """Routes of this shape. The server listens for requests once its model is loaded, so it is ready when it lives."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready", "model": service.name}

    return routes
