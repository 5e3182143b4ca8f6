"""Memory for time: which layers forget what they computed."""

from __future__ import annotations

from typing import Any

from torch import nn

from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA


def checkpoint_layers(model: VLJEPA, *, enabled: bool) -> None:
    """Let the layers of the Predictor, and of a trained Y-Encoder, keep their inputs alone until the backward.

    They draw the same dropout again, so that no number changes. The frozen X-Encoder keeps nothing anyhow.

    Args:
        model: What is trained; it can be changed back.
        enabled: Whether they do.

    Raises:
        ConfigError: A part cannot.
    """
    parts = {"predictor": model.predictor.backbone}
    if model.config.y_encoder.trainable:
        parts["y_encoder"] = model.y_encoder.backbone
    again: dict[str, Any] = {"use_reentrant": False}
    if model.clip_updates is not None:
        again["context_fn"] = model.clip_updates.recomputed
    for slot, backbone in parts.items():
        inner = backbone.model
        if hasattr(inner, "gradient_checkpointing_enable") and inner.supports_gradient_checkpointing:
            if enabled:
                inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs=again)
            elif is_checkpointed(inner):
                inner.gradient_checkpointing_disable()
        elif enabled:
            raise ConfigError(
                f"{slot} = {backbone.spec} has no gradient checkpointing.",
                fix="set train.gradient_checkpointing=false.",
            )


def is_checkpointed(module: nn.Module) -> bool:
    """Whether layers in it compute their forward again in the backward."""
    return any(getattr(one, "gradient_checkpointing", False) for one in module.modules())
