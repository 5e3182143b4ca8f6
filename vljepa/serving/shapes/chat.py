"""OpenAI's `POST /v1/chat/completions`: captions of images, and answers to short questions about them.

A prompt that is no question ("Describe what the person intends.") gets a caption: what is seen, and nothing about
intent. The answer's `vljepa.kind` says which of the two it is.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool
from starlette.responses import JSONResponse, Response, StreamingResponse

from vljepa.serving.inputs import Content, message_parts
from vljepa.serving.service import Description, Service
from vljepa.serving.shapes.openai import Message


class StreamOptions(BaseModel):
    """Of a streamed answer."""

    include_usage: StrictBool = False


class ChatRequest(BaseModel):
    """A conversation; sampling settings have no meaning here and are passed over."""

    model: str | None = None
    messages: list[Message]
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None


def router(service: Service) -> APIRouter:
    """Routes of this shape."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions", responses={200: {"content": {"text/event-stream": {}}}})
    def completions(request: ChatRequest) -> Response:
        prompt, images = _asked(request.messages, service)
        description = service.describe(images, prompt)
        usage = {
            "prompt_tokens": description.read,
            "completion_tokens": description.written,
            "total_tokens": description.read + description.written,
        }
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": service.name}
        if request.stream:
            counted = request.stream_options is not None and request.stream_options.include_usage
            events = _events(head, description, usage if counted else None)
            return StreamingResponse(events, media_type="text/event-stream")
        message = {"role": "assistant", "content": description.text, "refusal": None}
        return JSONResponse(
            {
                **head,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
                "usage": usage,
                "vljepa": {"kind": description.kind, "confidence": description.confidence},
            }
        )

    return routes


def _asked(messages: list[Message], service: Service) -> tuple[str, list[Content]]:
    """The last user's text, and the images that came last: a question may follow on an earlier image."""
    users = [
        message_parts(message.content, addresses=service.addresses) for message in messages if message.role == "user"
    ]
    prompt = users[-1][0] if users else ""
    return prompt, next((images for _, images in reversed(users) if images), [])


def _events(head: dict[str, Any], description: Description, usage: dict[str, int] | None) -> Iterator[str]:
    """The answer as server-sent events. It is there as a whole, so it comes in one piece."""
    deltas = [({"role": "assistant", "content": ""}, None), ({"content": description.text}, None), ({}, "stop")]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
    ]
    if usage is not None:
        chunks.append({"choices": [], "usage": usage})
    for chunk in chunks:
        yield f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', **chunk})}\n\n"
    yield "data: [DONE]\n\n"
