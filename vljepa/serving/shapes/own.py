"""Our own shape: `POST /classify`, `/ask` and `/caption`, one image each, with calibrated probabilities."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from vljepa.inference.candidates import Prediction, check_question
from vljepa.serving.service import Description, Service


class CaptionRequest(BaseModel):
    """An image, base64 or a data URL."""

    model_config = ConfigDict(extra="forbid")

    image: str


class AskRequest(CaptionRequest):
    """A question about it; without choices it is answered in words."""

    question: str
    choices: list[str] | None = None


class ClassifyRequest(CaptionRequest):
    """Labels for it."""

    labels: list[str]
    none: StrictBool = False
    min_confidence: float = Field(0.0, ge=0, le=1)


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.post("/caption")
    def caption(request: CaptionRequest) -> dict[str, Any]:
        return _words(service.describe([service.image(request.image)]), name="caption")

    @routes.post("/ask")
    def ask(request: AskRequest) -> dict[str, Any]:
        question, image = check_question(request.question), service.image(request.image)
        if request.choices is not None:
            return _chosen(service.ask(image, question, request.choices), name="answer")
        return _words(service.describe([image], question, asks=True), name="answer")

    @routes.post("/classify")
    def classify(request: ClassifyRequest) -> dict[str, Any]:
        image = service.image(request.image)
        chosen = service.classify(image, request.labels, none=request.none, min_confidence=request.min_confidence)
        return _chosen(chosen, name="label")

    return routes


def _words(description: Description, *, name: str) -> dict[str, Any]:
    return {name: description.text, "confidence": description.confidence}


def _chosen(one: Prediction, *, name: str) -> dict[str, Any]:
    """As `vljepa classify --json` has it; null where the model abstains."""
    found = {name: one.label, "confidence": one.confidence, "probabilities": one.probabilities}
    return found if one.none is None else {**found, "none": one.none}
