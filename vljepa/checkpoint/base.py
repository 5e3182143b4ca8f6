"""A JEPA with what its files know of it and its tensors do not."""

from __future__ import annotations

from pathlib import Path

from vljepa.checkpoint.adapters import Adapters
from vljepa.configs import VLJEPAConfig
from vljepa.models.jepa import JEPA


class PretrainedJEPA(JEPA):
    """What is saved and loaded.

    Args:
        config: As of `JEPA`.
    """

    def __init__(self, config: VLJEPAConfig) -> None:
        super().__init__(config)
        self.tokenizers: Path | None = None
        """Folder of the tokenizers, where the model was saved whole; else they are the parts' own."""
        self.adapters: Adapters | None = None
        """Low-rank adapters, where the model has been adapted."""
