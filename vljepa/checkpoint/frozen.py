"""Which tensors of a model its parts' own files determine: a thin save leaves these out, and digests too."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vljepa.configs import PartSpec
from vljepa.models.jepa import JEPA
from vljepa.models.lora import base_name


def parts_of(model: JEPA) -> list[tuple[str, PartSpec, Any]]:
    """Where each pretrained part's tensors are in the model, its spec, and the module that loads it."""
    config = model.config
    return [
        ("x_encoder.backend.", config.x_encoder.part, model.x_encoder),
        *((f"{name}.backbone.", config.predictor.part, one.backbone) for name, one in model.predictors().items()),
        ("y_encoder.backbone.", config.y_encoder.part, model.y_encoder.backbone),
    ]


def own_tensors(model: JEPA) -> dict[str, Tensor]:
    """Tensors of the model without its Y-Decoder, which has a folder of its own."""
    return {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("y_decoder.")}


def referenced_keys(model: JEPA) -> set[str]:
    """Names of the tensors that a thin save leaves out: frozen, and to be had from a part's own files."""
    referenced: set[str] = set()
    for prefix, spec, _ in parts_of(model):
        if spec.source != "random":
            for key in own_tensors(model):
                name = base_name(key)
                if key.startswith(prefix) and name is not None and name not in model.trained:
                    referenced.add(key)
    return referenced
