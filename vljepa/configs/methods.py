"""What the `model` section of a recipe is, by the recipe's method."""

from __future__ import annotations

from vljepa.configs.eb_jepa import EBJEPAConfig
from vljepa.configs.llm_jepa import LLMJEPAConfig
from vljepa.configs.model import VLJEPAConfig
from vljepa.configs.part import Strict
from vljepa.configs.v_jepa import VJEPAConfig
from vljepa.configs.v_jepa2_ac import VJEPA2ACConfig

MODEL_CONFIGS: dict[str, type[Strict]] = {
    "vl_jepa": VLJEPAConfig,
    "v_jepa": VJEPAConfig,
    "v_jepa2_ac": VJEPA2ACConfig,
    "eb_jepa": EBJEPAConfig,
    "llm_jepa": LLMJEPAConfig,
}
"""`vljepa.methods.register` adds one."""
