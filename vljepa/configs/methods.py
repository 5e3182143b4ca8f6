"""What the `model` section of a recipe is, by the recipe's method."""

from __future__ import annotations

from vljepa.configs.model import VLJEPAConfig
from vljepa.configs.part import Strict
from vljepa.configs.v_jepa import VJEPAConfig

MODEL_CONFIGS: dict[str, type[Strict]] = {"vl_jepa": VLJEPAConfig, "v_jepa": VJEPAConfig}
"""`vljepa.methods.register` adds one."""
