"""The libraries by their name in `PartSpec`."""

from __future__ import annotations

from vljepa.backends.open_clip import OpenClipBackend
from vljepa.backends.protocols import Backend
from vljepa.backends.timm import TimmBackend
from vljepa.backends.transformers import TransformersBackend
from vljepa.backends.v_jepa import VJepaBackend
from vljepa.configs import PartSpec
from vljepa.configs.part import BACKENDS

_BACKENDS: dict[str, Backend] = {
    "transformers": TransformersBackend(),
    "open_clip": OpenClipBackend(),
    "timm": TimmBackend(),
    "v_jepa": VJepaBackend(),
}


def backend_of(part: PartSpec) -> Backend:
    """The library that builds a part."""
    return _BACKENDS[part.backend]


def register(name: str, backend: Backend) -> None:
    """Add a library: from now on `NAME:...` names its models, everywhere.

    Args:
        name: Lower case, such as `mylib`; that of a library that is there already replaces it.
        backend: Its answers.
    """
    _BACKENDS[name] = backend
    if name not in BACKENDS:
        BACKENDS.append(name)
