"""Images and texts as requests carry them. Images come as base64 only: no address is fetched, no path is read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vljepa.serving.errors import RequestError

_FIX = "send the image itself: base64, or a data URL (data:image/jpeg;base64,...)."


@dataclass(frozen=True)
class RequestImage:
    """An image to embed.

    Args:
        content: The bytes of an image file.
        question: The query to embed it under; empty means the model's caption prompt.
    """

    content: bytes
    question: str = ""


def image_content(text: object) -> bytes:
    """The bytes of an image.

    Args:
        text: base64, or a data URL with base64.

    Raises:
        RequestError: An address, a path, or anything else that is not base64.
    """
    if not isinstance(text, str) or not text.strip():
        raise RequestError("an image is empty or not a text of base64.", fix=_FIX)
    text = text.strip()
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise RequestError(f"the data URL {_short(head)} is not base64.", fix=_FIX)
    elif "://" in text[:20]:
        raise RequestError(f"an image is given by the address {_short(text)}, and none is fetched.", fix=_FIX)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"the image {_short(text)} is not base64.", fix=_FIX) from None


def is_question(prompt: str) -> bool:
    """Whether a prompt asks something that an answer of a few words can be given to.

    Others, such as "Describe this image.", are instructions to language models, and get a caption.
    """
    return prompt.rstrip().endswith("?") and len(prompt.split()) <= 40


def message_parts(content: object) -> tuple[str, list[bytes]]:
    """Text and images of one chat message.

    Args:
        content: A text, or a list of parts as OpenAI has them: `text` and `image_url`.

    Raises:
        RequestError: A part of another type, or an image that is not base64.
    """
    if content is None or isinstance(content, str):
        return content or "", []
    parts: Sequence[Any] = content if isinstance(content, list) else [content]
    texts, images = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            url = part.get("image_url")
            images.append(image_content(url.get("url") if isinstance(url, dict) else url))
        else:
            raise RequestError(
                "a part of a message is neither text nor an image.",
                fix='send {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}.',
            )
    return "\n".join(texts), images


def _short(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")
