"""The libraries by their name in `PartSpec`."""

from __future__ import annotations

from vljepa.backends.open_clip import OpenClipBackend
from vljepa.backends.protocols import Backend
from vljepa.backends.timm import TimmBackend
from vljepa.backends.transformers import TransformersBackend
from vljepa.configs import PartSpec

_BACKENDS: dict[str, Backend] = {
    "transformers": TransformersBackend(),
    "open_clip": OpenClipBackend(),
    "timm": TimmBackend(),
}


def backend_of(part: PartSpec) -> Backend:
    """The library that builds a part."""
    return _BACKENDS[part.backend]
