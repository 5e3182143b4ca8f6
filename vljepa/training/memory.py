"""Memory for time: which layers forget what they computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vljepa.errors import ConfigError


def checkpoint_layers(backbones: Mapping[str, Any], *, enabled: bool) -> None:
    """Let the layers of the Predictor, and of a trained Y-Encoder, keep their inputs alone until the backward.

    They draw the same dropout again, so that no number changes. The frozen X-Encoder keeps nothing anyhow.

    Args:
        backbones: What is trained, by name; they can be changed back.
        enabled: Whether they do.

    Raises:
        ConfigError: A part cannot.
    """
    for slot, backbone in backbones.items():
        inner = backbone.model
        if hasattr(inner, "gradient_checkpointing_enable") and inner.supports_gradient_checkpointing:
            if enabled:
                inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            elif any(getattr(module, "gradient_checkpointing", False) for module in inner.modules()):
                inner.gradient_checkpointing_disable()
        elif enabled:
            raise ConfigError(
                f"{slot} = {backbone.spec} has no gradient checkpointing.",
                fix="set train.gradient_checkpointing=false.",
            )
