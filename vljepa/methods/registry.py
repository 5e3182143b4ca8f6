"""Methods by their name in a recipe."""

from __future__ import annotations

from vljepa.configs import Strict
from vljepa.configs.methods import MODEL_CONFIGS
from vljepa.errors import ConfigError
from vljepa.methods.eb_jepa import EBJepaMethod
from vljepa.methods.llm_jepa import LLMJepaMethod
from vljepa.methods.protocol import Method
from vljepa.methods.v_jepa import VJepaMethod
from vljepa.methods.v_jepa2_ac import VJepa2ACMethod
from vljepa.methods.vl_jepa import VLJepaMethod

_METHODS: dict[str, type[Method]] = {
    one.name: one for one in (VLJepaMethod, VJepaMethod, VJepa2ACMethod, EBJepaMethod, LLMJepaMethod)
}


def method_of(name: str) -> type[Method]:
    """The method that a recipe names.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in _METHODS:
        raise ConfigError(f"there is no method {name!r}.", fix=f"use one of {', '.join(_METHODS)}.")
    return _METHODS[name]


def register(method: type[Method], *, config: type[Strict]) -> None:
    """Add a method: from now on `method: NAME` in a recipe trains by it.

    Args:
        method: Its class, with a `name`.
        config: What the recipe's `model` section is.
    """
    _METHODS[method.name] = method
    MODEL_CONFIGS[method.name] = config
