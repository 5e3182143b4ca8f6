"""What the `model` section of a recipe is, by the recipe's method."""

from __future__ import annotations

from vljepa.configs.model import VLJEPAConfig
from vljepa.configs.part import Strict

MODEL_CONFIGS: dict[str, type[Strict]] = {"vl_jepa": VLJEPAConfig}
"""`vljepa.methods.register` adds one."""
