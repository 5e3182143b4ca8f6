"""Whether two configs are of models with the same tensors."""

from __future__ import annotations

import json

from vljepa.configs import VLJEPAConfig


def identity_of(config: VLJEPAConfig) -> str:
    """Config of a model as far as its tensors depend on it; hashes and calibration are filled in over time."""
    raw = config.model_dump(mode="json", exclude={"calibration"})
    for slot in ("x_encoder", "predictor", "y_encoder"):
        for late in ("config", "sha256"):
            raw[slot]["part"].pop(late)
    return json.dumps(raw, sort_keys=True)
