"""Hashes by which caches, decoders, indexes and adapters know the model that they belong to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from torch import Tensor

from vljepa.checkpoint.frozen import own_tensors, referenced_keys
from vljepa.models.jepa import JEPA


def digest(value: Any) -> str:
    """Short stable hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def text_space_digest(model: JEPA, state: dict[str, Tensor] | None = None) -> str:
    """Hash over the Y-Encoder's spec and over every tensor of it that its part's files do not determine.

    Args:
        model: The model.
        state: Its tensors, from `saved_state`, where it does not hold them whole.
    """
    spec = model.config.y_encoder.stated()
    state = model.y_encoder.state_dict(prefix="y_encoder.") if state is None else state
    return _digest_tensors(model, spec, {key: one for key, one in state.items() if key.startswith("y_encoder.")})


def model_digest(model: JEPA) -> str:
    """Hash over what embeds images and texts: config without temperatures, and tensors no part's files determine.

    Of the calibration only the residual's factor moves an embedding.
    """
    config = model.config.stated()
    calibration = config.pop("calibration", {})
    factor = {"factor": calibration["residual"]} if "residual" in calibration else {}
    return _digest_tensors(model, config | factor, own_tensors(model))


def _digest_tensors(model: JEPA, spec: Any, tensors: dict[str, Tensor]) -> str:
    hashed = hashlib.sha256(digest(spec).encode())
    referenced = referenced_keys(model)
    for key, tensor in sorted(tensors.items()):
        if key not in referenced:
            hashed.update(key.encode())
            hashed.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]
