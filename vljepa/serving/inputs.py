"""Images and texts as requests carry them: base64, or addresses where those are fetched. No path is read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vljepa.serving.errors import RequestError


@dataclass(frozen=True)
class Address:
    """Where an image is to be fetched from.

    Args:
        url: As the request has it.
    """

    url: str


Content: TypeAlias = bytes | Address
"""The bytes of an image file, or where they are."""

_FIX = "send the image itself: base64, or a data URL (data:image/jpeg;base64,...)."


@dataclass(frozen=True)
class RequestImage:
    """An image to embed.

    Args:
        content: Of an image file.
        question: The query to embed it under; empty means the model's caption prompt.
    """

    content: Content
    question: str = ""


def image_content(text: object, *, addresses: bool = False) -> Content:
    """The bytes of an image, or its address.

    Args:
        text: base64, a data URL with base64, or an address.
        addresses: Whether it may be one.

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
        if addresses:
            return Address(text)
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


def message_parts(content: object, *, addresses: bool = False) -> tuple[str, list[Content]]:
    """Text and images of one chat message.

    Args:
        content: A text, or a list of parts as OpenAI has them: `text` and `image_url`.
        addresses: Whether an image may be one.

    Raises:
        RequestError: A part of another type, or an image that is not base64.
    """
    if content is None or isinstance(content, str):
        return content or "", []
    parts: Sequence[Any] = content if isinstance(content, list) else [content]
    texts: list[str] = []
    images: list[Content] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            url = part.get("image_url")
            given = url.get("url") if isinstance(url, dict) else url
            images.append(image_content(given, addresses=addresses))
        else:
            raise RequestError(
                "a part of a message is neither text nor an image.",
                fix='send {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}.',
            )
    return "\n".join(texts), images


def _short(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")
